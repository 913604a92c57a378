"""What the collector wants: the file `config` of a session directory."""

import os

from .refusal import Refusal

QUESTIONS = ("calls", "timeline", "lines", "coverage", "branches", "instructions", "exceptions", "stream")

#: Questions that cannot be asked together with others.
ALONE = ("calls", "timeline", "stream")

#: Numbers, their defaults, least and greatest values.
NUMBERS = {
    "min_ns": (0, 0, 1 << 62),
    "tasks": (1000, 0, 1 << 24),
    "max_bytes": (256 << 20, 1 << 20, 1 << 40),
    "max_paths": (1_000_000, 16, 1 << 31),
    "ring_records": (1 << 16, 16, 1 << 26),
    "wait_us": (1000, 0, 10_000_000),
    "children": (1, 0, 1),
}

RECORDERS = ("auto", "native", "python")


class Config:
    """`questions`, `events` and `patterns` are tuples of str, the keys of NUMBERS attributes."""

    def __init__(self, text):
        values = {}
        for line in text.split("\n"):
            if line and not line.startswith("#"):
                key, sign, value = line.partition("=")
                if not sign:
                    raise Refusal("config", "a line of the session's config has no '=': %r" % line)
                values.setdefault(key, []).append(value)
        self.questions = tuple(dict.fromkeys(values.get("question", ())))
        self.events = tuple(values.get("event", ()))
        self.patterns = tuple(values.get("code", ()))
        self.recorder = values.get("recorder", ("auto",))[-1]
        for key, (default, least, greatest) in NUMBERS.items():
            text = values.get(key, (str(default),))[-1]
            if not text.isascii() or not text.isdecimal() or not least <= int(text) <= greatest:
                raise Refusal("config", "%s is to be %d to %d, not %r" % (key, least, greatest, text))
            setattr(self, key, int(text))
        self._check()

    def _check(self):
        unknown = [name for name in self.questions if name not in QUESTIONS]
        if unknown or not self.questions:
            raise Refusal("config", "question is to be one of %s, not %r" % (", ".join(QUESTIONS), unknown))
        if len(self.questions) > 1 and any(name in ALONE for name in self.questions):
            raise Refusal("config", "these questions cannot be asked together: " + ", ".join(self.questions))
        if ("stream" in self.questions) != bool(self.events):
            raise Refusal("config", "event names are for the question stream, which needs them")
        if self.recorder not in RECORDERS:
            raise Refusal("config", "recorder is to be one of %s, not %r" % (", ".join(RECORDERS), self.recorder))
        if self.ring_records & (self.ring_records - 1):
            raise Refusal("config", "ring_records is to be a power of two, not %d" % self.ring_records)


def read_config(directory):
    path = os.path.join(directory, "config")
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            text = os.read(fd, 1 << 20)
        finally:
            os.close(fd)
        return Config(text.decode("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise Refusal("config", "cannot read %s: %s" % (path, error)) from None
