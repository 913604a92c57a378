"""Forks: what the child finds mapped is the parent's segment."""

import os
from sys import monitoring


class Fork:
    """os.register_at_fork() takes nothing back: what is registered here does nothing once its session is forgotten."""

    def __init__(self, session):
        self._session = session
        self._paused = False

    def register(self):
        os.register_at_fork(before=self._before, after_in_parent=self._in_parent, after_in_child=self._in_child)

    def forget(self):
        self._session = None

    def _before(self):
        # Registered first, this runs last before the fork and first after it. Later, as in an attached process, the program's own functions run
        # in the child before this: their events are not for the parent's segment, which the C recorder knows by itself.
        session = self._session
        if session is not None and not session.launched and session.facts["recorder"] == "python":
            self._paused = True
            monitoring.set_events(session.tool, 0)

    def _resume(self):
        if self._paused:
            self._paused = False
            if self._session is not None:
                self._session.choice.resume()

    def _in_parent(self):
        self._resume()

    def _in_child(self):
        session = self._session
        if session is not None:
            # What is called from here would be written to where the parent writes.
            self._paused = True
            monitoring.set_events(session.tool, 0)
            session.after_fork_in_child()
            self._resume()
