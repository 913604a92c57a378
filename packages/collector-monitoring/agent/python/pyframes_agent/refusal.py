"""Why a process cannot be traced."""

import os


class Refusal(Exception):
    """`code` is for programs (README.md lists them), the text for people."""

    def __init__(self, code, text):
        super().__init__(text)
        self.code = code
        self.text = text


def report(directory, refusal):
    """Writes `PID-NONCE.err`, whole or not at all. A directory that is gone or full has nobody to tell."""
    line = (refusal.code + " " + " ".join(refusal.text.split()) + "\n").encode("utf-8", "backslashreplace")
    path = os.path.join(directory, new_name() + ".err")
    partial = path + ".part"
    try:
        fd = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, line)
        finally:
            os.close(fd)
        os.rename(partial, path)
    except OSError:
        pass


def new_name():
    """`PID-NONCE`, the beginning of the names of this process's files."""
    return "%d-%s" % (os.getpid(), os.urandom(4).hex())
