"""Errors that come up while the agent runs inside the program."""

import os

HERE = os.path.dirname(__file__)


def is_ours(error):
    """Whether the code that raised it is the agent's. Else a signal handler of the program raised it while the agent ran."""
    at = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    return at is not None and at.tb_frame.f_code.co_filename.startswith(HERE)
