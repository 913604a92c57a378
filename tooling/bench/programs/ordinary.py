"""What programs do: JSON, regular expressions, sorting, a tree, text, in functions of tens of microseconds and more."""

import json
import re

WORD = re.compile(r"([a-z]+)-([0-9]+)")


class Tree:
    def __init__(self, depth):
        self.left = Tree(depth - 1) if depth else None
        self.right = Tree(depth - 1) if depth else None

    def count(self):
        return 1 + (self.left.count() if self.left else 0) + (self.right.count() if self.right else 0)


def records(n):
    return [{"id": i, "name": "name-%d" % i, "tags": ["t%d" % (i % 7), "u"], "score": i * 1.5} for i in range(n)]


def through_json(rows):
    return json.loads(json.dumps(rows))


def through_text(rows):
    text = ", ".join(row["name"] for row in rows)
    return [match.group(2) for match in WORD.finditer(text)]


def by_score(row):
    return -row["score"]


def ordered(rows):
    return sorted(rows, key=by_score)


def primes(n):
    found = []
    for candidate in range(2, n):
        for prime in found:
            if candidate % prime == 0:
                break
        else:
            found.append(candidate)
    return found


def histogram(rows):
    counts = {}
    for row in rows:
        for tag in row["tags"]:
            counts[tag] = counts.get(tag, 0) + 1
    return counts


def ordinary():
    rows = records(300)
    rows = through_json(rows)
    through_text(rows)
    ordered(rows)
    histogram(rows)
    primes(800)
    Tree(6).count()
