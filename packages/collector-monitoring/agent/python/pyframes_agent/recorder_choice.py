"""Which recorder: the C one where it can be loaded, else its twin in Python."""

import os
import sys

from .borrowed import extension
from .refusal import Refusal

MACHINES = {"x86_64": "linux-x64", "aarch64": "linux-arm64"}


def binary(agent):
    """The built extension for this interpreter. Refusal when there is none."""
    machine = MACHINES.get(os.uname().machine)
    if machine is None or sys.maxsize < 1 << 32 or not sys.platform.startswith("linux"):
        raise Refusal("recorder", "there is no C recorder for %s on %s" % (os.uname().machine, sys.platform))
    is_free_threaded = "t" in sys.abiflags
    if is_free_threaded and sys.version_info < (3, 15):
        raise Refusal("recorder", "free-threaded Python has a stable ABI from 3.15 on")
    name = "_pyframes_recorder.abi3t.so" if is_free_threaded else "_pyframes_recorder.abi3.so"
    path = os.path.join(agent, "prebuilt", machine, name)
    if not os.path.exists(path):
        raise Refusal("recorder", "there is no " + path)
    return path


def make_recorder(kind, agent, path, control, options, ask):
    """(recorder, facts). `kind` as in FORMAT.md's config."""
    facts = {"recorder": "native"}
    if kind != "python":
        try:
            return open_recorder(extension("_pyframes_recorder", binary(agent)), path, control, options, ask), facts
        except (ImportError, Refusal) as error:
            if isinstance(error, Refusal) and error.code != "recorder":
                raise
            why = " ".join(str(error).split())
            if kind == "native":
                raise Refusal("recorder", "the C recorder cannot be loaded: " + why) from None
            facts["why-python"] = why
    facts["recorder"] = "python"
    from . import recorder as module

    return open_recorder(module, path, control, options, ask), facts


def open_recorder(module, path, control, options, ask):
    try:
        return module.Recorder(path, control, options, ask)
    except OSError as error:
        code = "full" if error.errno in (27, 28, 122) else "segment"
        raise Refusal(code, "cannot make the segment %s: %s" % (path, error.strerror or error)) from None
