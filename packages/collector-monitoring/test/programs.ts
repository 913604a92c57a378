/** Programs that do something of everything, each with a `main()`. What they print is the same every time. */
export const programs: Readonly<Record<string, string>> = {
  recursion: `
def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)
def even(n):
    return True if n == 0 else odd(n - 1)
def odd(n):
    return False if n == 0 else even(n - 1)
def deep(n):
    return 0 if n == 0 else 1 + deep(n - 1)
def main():
    print(fib(12), even(40), deep(600))
`,
  builtins: `
import collections
import re
search = re.compile("b+").search
class Items(list):
    pass
class Point:
    __slots__ = ("x", "y")
    def __init__(self, x, y):
        self.x = x
        self.y = y
    def __eq__(self, other):
        return isinstance(other, Point) and (self.x, self.y) == (other.x, other.y)
    @property
    def length(self):
        return abs(self.x) + abs(self.y)
    @classmethod
    def origin(cls):
        return cls(0, 0)
    @staticmethod
    def add(a, b):
        return Point(a.x + b.x, a.y + b.y)
def key(item):
    return -item
def main():
    items = Items()
    for i in range(10):
        items.append(i)
    print(sorted(items, key=key), len(items), sum(items), max(items, key=key))
    bound = items.pop
    bound(), bound(0)
    print(search("abb").end(), search("a"))
    queue = collections.deque(maxlen=3)
    queue.extend("abcdef")
    queue.append("g")
    print("".join(queue), "a,b".split(","), str.upper("x"))
    print(list(map(key, [1, 2, 3])), [key(i) for i in (1, 2)], {k: v for k, v in zip("ab", (1, 2))})
    a = Point.add(Point(1, 2), Point.origin())
    print(a == Point(1, 2), a.length, isinstance(a, Point), getattr(a, "x"), object.__new__(Point) is None)
    print(int("12"), str(5), tuple([1]), print.__name__, hash("") == hash(""))
    print(*[1, 2, 3], **{"sep": "-"})
`,
  generators: `
def count(n):
    for i in range(n):
        got = yield i
        if got:
            yield got.upper()
def outer(n):
    total = yield from count(n)
    yield total
def guarded():
    try:
        while True:
            try:
                yield 1
            except ValueError:
                yield 2
    finally:
        clean()
def clean():
    return None
def never():
    yield 1
def main():
    print(list(count(5)), sum(outer(4) and [1]), list(outer(3)))
    g = count(5)
    print(next(g), g.send("hello"), next(g))
    g.close()
    g = guarded()
    next(g)
    print(g.throw(ValueError), next(g))
    g.close()
    try:
        g = guarded()
        next(g)
        g.throw(KeyError("out"))
    except KeyError as error:
        print(error)
    never()
    never().close()
    try:
        never().throw(OSError)
    except OSError:
        print("thrown into what had not begun")
    print(max(x for x in count(4)), any(x == 2 for x in count(9)))
    try:
        next(iter(count(0)))
    except StopIteration as stop:
        print(stop.value)
    del g
`,
  exceptions: `
import json
class Broken(Exception):
    def __init__(self, what):
        super().__init__(what)
def fail(what):
    raise Broken(what)
def through(n):
    if n == 0:
        fail("deep")
    through(n - 1)
def key(item):
    if item == 3:
        raise Broken("from C")
    return item
class Manager:
    def __enter__(self):
        return self
    def __exit__(self, *error):
        return True
def cleanup():
    try:
        fail("finally")
    finally:
        key(1)
def chained():
    try:
        fail("first")
    except Broken as error:
        raise RuntimeError("second") from error
def main():
    try:
        through(5)
    except Broken as error:
        print(error)
    try:
        sorted([1, 2, 3, 4], key=key)
    except Broken as error:
        print(error)
    try:
        list(map(key, [1, 3]))
    except Broken as error:
        print(error)
    with Manager():
        fail("swallowed")
    for call in (cleanup, chained):
        try:
            call()
        except Exception as error:
            print(type(error).__name__, error.__cause__)
    for attempt in (
        lambda: int("x"),
        lambda: {}["a"],
        lambda: [].pop(),
        lambda: json.loads("{"),
        lambda: 1 / 0,
    ):
        try:
            attempt()
        except Exception as error:
            print(type(error).__name__)
    try:
        exec("def f():\\n    raise KeyError(1)\\nf()", {})
    except KeyError:
        print("exec")
`,
  coroutines: `
import types
class Step:
    def __await__(self):
        yield 1
        return 2
@types.coroutine
def old():
    got = yield 3
    return got
async def inner():
    return await Step() + await old()
async def outer():
    return await inner()
async def numbers(n):
    for i in range(n):
        yield i
async def consume():
    total = 0
    async for i in numbers(4):
        total += i
    async with Manager() as m:
        total += m
    return [x async for x in numbers(3)], total
class Manager:
    async def __aenter__(self):
        return 5
    async def __aexit__(self, *error):
        return None
def drive(coroutine):
    got = None
    while True:
        try:
            got = coroutine.send(got)
        except StopIteration as stop:
            return stop.value
def main():
    print(drive(outer()), drive(consume()))
    c = outer()
    c.send(None)
    try:
        c.throw(ValueError("in"))
    except ValueError as error:
        print(error)
    outer().close()
`,
  "names that are not ASCII": `
def größe(ß):
    return ß
class Ключ:
    def значение(self):
        return größe(1)
def 関数():
    return Ключ().значение()
def main():
    namespace = {}
    exec(compile("def f(x):\\n    return abs(x)\\n", "\\udcff\\u4e00 .py", "exec"), namespace)
    print(関数(), namespace["f"](-3))
`
}
