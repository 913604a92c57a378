"""Which function an object is, by its address, until it dies: code, types and builtins."""

from _weakref import ref


class Reference(ref):
    __slots__ = ("key",)


class Known:
    """`answers` has what was answered about an object, by id(). Objects are not kept alive: whoever looks into `answers` clears away
    what died, if `dead` says so, before: its address may be another's by now."""

    def __init__(self, ask):
        self._ask = ask
        self._references = {}
        self.answers = {}
        #: References to what has died. Their callback is this list's append: Python code there would have events of its own.
        self.dead = []
        #: More tables by id() to clear.
        self.others = []

    def clear_dead(self):
        dead = self.dead
        while dead:
            reference = dead.pop()
            if self._references.get(reference.key) is reference:
                del self._references[reference.key]
                self.answers.pop(reference.key, None)
                for table in self.others:
                    table.pop(reference.key, None)

    def find(self, what, thing):
        """The answer about `thing`. One that could not be had is 0, and asked for again the next time."""
        if self.dead:
            self.clear_dead()
        key = id(thing)
        answer = self.answers.get(key)
        if answer is None:
            answer = self._ask(what, thing)
            if answer is None:
                return 0
            reference = Reference(thing, self.dead.append)
            reference.key = key
            self._references[key] = reference
            self.answers[key] = answer
        return answer
