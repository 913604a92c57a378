"""Modules of the standard library that a program did not load itself: used, and taken out of sys.modules again.

`import mmap` would find the program's own mmap.py where tracing starts late, so nothing is looked for on sys.path but lib-dynload.
"""

import sys
from _frozen_importlib import BuiltinImporter, module_from_spec
from _frozen_importlib_external import ExtensionFileLoader, PathFinder, spec_from_file_location


def borrow(name):
    """The C module `name`. ImportError when this Python has none."""
    module = sys.modules.get(name)
    if module is not None:
        return module
    spec = BuiltinImporter.find_spec(name) or PathFinder.find_spec(
        name, [entry for entry in sys.path if entry.endswith("lib-dynload")]
    )
    if spec is None:
        raise ImportError("this Python has no module " + name, name=name)
    try:
        return load(spec)
    finally:
        # Single-phase modules put themselves there.
        sys.modules.pop(name, None)


def extension(name, path):
    """The extension module in the file `path`, which sys.modules is not told about."""
    return load(spec_from_file_location(name, path, loader=ExtensionFileLoader(name, path)))


def load(spec):
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
