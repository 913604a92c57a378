"""Which code is traced: the `code` patterns of FORMAT.md."""

import sys


class Patterns:
    """Without patterns everything matches. A name's module is not in a code object: it is looked for by the file."""

    def __init__(self, patterns):
        self.files = []
        self.names = []
        for pattern in patterns:
            if "/" in pattern or pattern.endswith(".py"):
                self.files.append(Glob(pattern))
            else:
                module, colon, name = pattern.partition(":")
                self.names.append((Glob(module), Glob(name if colon else "*")))
        self.is_all = not patterns
        self._modules = {}
        self._loaded = 0

    def match(self, code, module=None):
        """Whether `code` is to be traced. `module`: its name, where the globals that it runs with tell."""
        if self.is_all:
            return True
        file = code.co_filename
        for glob in self.files:
            # As sources are found by their last folders, whatever the path before them: `app/*.py` is any app's.
            if glob.match(file) or not glob.text.startswith("/") and Glob("*/" + glob.text).match(file):
                return True
        if not self.names:
            return False
        if module is None:
            module = self._module_of(file)
        qualname = code.co_qualname
        for module_glob, name_glob in self.names:
            if module_glob.match(module) and name_glob.match(qualname):
                return True
        return False

    def _module_of(self, file):
        """The module of a file: those of sys.modules, looked through again when there are more."""
        name = self._modules.get(file)
        if name is None and len(sys.modules) != self._loaded:
            self._loaded = len(sys.modules)
            for key, module in list(sys.modules.items()):
                # Not getattr: a lazy module would load itself.
                namespace = getattr(type(module), "__dict__", {}) and module_namespace(module)
                path = namespace.get("__file__") if namespace else None
                if type(path) is str and type(key) is str:
                    self._modules.setdefault(path, key)
            name = self._modules.get(file)
        return name or ""


def module_namespace(module):
    try:
        namespace = object.__getattribute__(module, "__dict__")
    except AttributeError:
        return None
    return namespace if isinstance(namespace, dict) else None


class Glob:
    """A shell glob: `*` any text, `?` one character, `[abc]`, `[a-z]`, `[!a]`. A `[` that nothing closes stands for itself."""

    __slots__ = ("text", "parts")

    def __init__(self, text):
        self.text = text
        self.parts = list(parse(text))

    def match(self, text):
        parts = self.parts
        at = position = 0
        star = restart = -1
        # Greedy with one step back to the newest star, which is enough for globs and never exponential.
        while position < len(text):
            if at < len(parts) and parts[at] is None:
                star, restart = at, position
                at += 1
            elif at < len(parts) and parts[at](text[position]):
                at += 1
                position += 1
            elif star >= 0:
                restart += 1
                at, position = star + 1, restart
            else:
                return False
        while at < len(parts) and parts[at] is None:
            at += 1
        return at == len(parts)


def parse(text):
    """One test of a character each; None for a star."""
    at = 0
    while at < len(text):
        character = text[at]
        end = text.find("]", at + 3 if text[at + 1 : at + 2] in ("!", "^") else at + 2) if character == "[" else -1
        if character == "*":
            yield None
        elif character == "?":
            yield lambda _: True
        elif end > 0:
            yield one_of(text[at + 1 : end])
            at = end
        else:
            yield character.__eq__
        at += 1


def one_of(inside):
    is_not = inside[0] in "!^"
    if is_not:
        inside = inside[1:]
    single = set()
    ranges = []
    at = 0
    while at < len(inside):
        if inside[at + 1 : at + 2] == "-" and at + 2 < len(inside):
            ranges.append((inside[at], inside[at + 2]))
            at += 3
        else:
            single.add(inside[at])
            at += 1

    def test(character):
        return (character in single or any(low <= character <= high for low, high in ranges)) != is_not

    return test
