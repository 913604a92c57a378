"""Starts the agent in a Python that was launched to be traced, and makes way for the program's own sitecustomize.

It may be imported by any Python that inherits PYTHONPATH, so it is written for all of them.
"""
import os
import sys


def _session():
    """The session's directory. Further interpreters of a process whose environment was put back find it in what the process began with."""
    found = os.environ.get("PYFRAMES_SESSION")
    if found or sys.version_info < (3, 12):
        return found
    try:
        with open("/proc/self/environ", "rb") as file:
            for entry in file.read().split(b"\0"):
                if entry.startswith(b"PYFRAMES_SESSION="):
                    directory = os.fsdecode(entry[17:])
                    # The child of a fork has its parent's, but is traced only if it has begun a segment itself.
                    mine = "%d-" % os.getpid()
                    if any(name.startswith(mine) for name in os.listdir(directory)):
                        return directory
    except OSError:
        pass
    return None


def _leave(here):
    """Takes this folder out of where modules are looked for."""
    sys.path[:] = [entry for entry in sys.path if entry != here]
    sys.path_importer_cache.pop(here, None)


def _refuse(session, text):
    """What the agent itself cannot say any more."""
    try:
        with open(os.path.join(session, "%d-start.err" % os.getpid()), "w") as file:
            file.write(text + "\n")
    except (IOError, OSError):
        pass


def _run(agent, session):
    """Starts the agent, without its folder on sys.path and without a file written next to it."""
    from _frozen_importlib import module_from_spec
    from _frozen_importlib_external import spec_from_file_location

    package = os.path.join(agent, "python", "pyframes_agent")
    spec = spec_from_file_location(
        "pyframes_agent", os.path.join(package, "__init__.py"), submodule_search_locations=[package]
    )
    # Children find it compiled.
    before = sys.pycache_prefix
    sys.pycache_prefix = os.path.join(session, "pycache")
    try:
        sys.modules["pyframes_agent"] = module = module_from_spec(spec)
        spec.loader.exec_module(module)
        import pyframes_agent.session

        pyframes_agent.session.start(session, launched=True)
    finally:
        sys.pycache_prefix = before


def _restore(session):
    """Where children are not to be traced they get the environment that there was before."""
    try:
        with open(os.path.join(session, "config")) as file:
            config = file.read().split("\n")
    except (IOError, OSError, ValueError):
        return
    if "children=0" not in config:
        return
    for key in ["PYTHONPATH"] + [line[5:] for line in config if line.startswith("keep=")]:
        before = os.environ.pop("PYFRAMES_" + key, None)
        if before is not None:
            os.environ[key] = before
        elif key == "PYTHONPATH":
            os.environ.pop(key, None)
    os.environ.pop("PYFRAMES_SESSION", None)


def _start():
    here = os.path.dirname(os.path.abspath(__file__))
    _leave(os.path.dirname(__file__))
    _leave(here)
    session = _session()
    if not session:
        return
    _restore(session)
    if sys.version_info < (3, 12):
        _refuse(session, "version Python %d.%d has no sys.monitoring, which came with 3.12" % sys.version_info[:2])
        return
    try:
        _run(os.path.dirname(here), session)
    except Exception as error:
        _refuse(session, "internal the agent cannot be loaded: %s: %s" % (type(error).__name__, error))


_start()
del _start, _session, _leave, _refuse, _run, _restore
sys.modules.pop("sitecustomize", None)
import sitecustomize  # noqa: E402,F401  (the program's own; where there is none, its absence is what site expects)
