"""Small programs with asserts, of the kind that code models are graded by, generated from templates of our own.

Each template gives a function, the asserts about it, and what a mistake in it looks like. A program is right or wrong by
construction, but what counts is what plain python3 says of it.
"""

import random

# Name, source with `{n}` for a number, right and wrong piece for `<>`, calls whose values the asserts hold.
TEMPLATES = [
    ("digits", "def f(x):\n    return sum(int(d) for d in str(abs(x)))<>", "", " + 1", ["f({n})", "f(-{n})", "f(0)"]),
    ("primes", "def f(k):\n    return [p for p in range(2, k<>) if all(p % d for d in range(2, int(p ** .5) + 1))]", " + 1", "",
     ["f(2)", "f(97)", "f({n} % 50)"]),
    ("gcd", "def f(a, b):\n    while b:\n        a, b = b, a % b\n    return a<>", "", " or 1", ["f({n}, 12)", "f(0, 0)"]),
    ("fib", "def f(k):\n    a, b = 0, 1\n    for _ in range(k<>):\n        a, b = b, a + b\n    return a", "", " + 1",
     ["f({n} % 30)", "f(1)"]),
    ("palindrome", "def f(s):\n    t = [c.lower() for c in s if c.isalnum()]\n    return t == t[::-1]<>", "",
     " and len(t) > 0", ["f('A man, a plan {n}')", "f('')", "f('No x in Nixon')"]),
    ("anagrams", "def f(ws):\n    d = {{}}\n    for w in ws:\n        d.setdefault(''.join(sorted(w)), []).append(w)\n"
     "    return sorted(v for v in d.values()<>)", "", " if len(v) > 1",
     ["f(['tea', 'eat', 'x{n}'])", "f([])"]),
    ("runs", "from itertools import groupby\ndef f(s):\n    return [(k, len(list(g))<>) for k, g in groupby(s)]", "", " - 1",
     ["f(str({n}) * 2)", "f('aaab')"]),
    ("brackets", "def f(s):\n    depth = 0\n    for c in s:\n        depth += {{'(': 1, ')': -1}}.get(c, 0)\n"
     "        if depth < 0<>:\n            return False\n    return depth == 0", "", " - 1",
     ["f('(()){n}')", "f(')(')", "f('')"]),
    ("window", "def f(xs, k):\n    return [max(xs[i:i + k<>]) for i in range(len(xs) - k + 1)]", "", " - 1 or 1",
     ["f([{n}, 3, 1, 9, {n}], 3)", "f([5, 4], 2)"]),
    ("matrix", "def f(a, b):\n    return [[sum(x * y for x, y in zip(r, c))<> for c in zip(*b)] for r in a]", "", " % 97",
     ["f([[1, {n}], [0, 1]], [[1, 2], [3, {n}]])"]),
    ("roman", "def f(k):\n    out = ''\n    for v, s in ((1000, 'M'), (900, 'CM'), (500, 'D'), (400, 'CD'), (100, 'C'), "
     "(90, 'XC'), (50, 'L'), (40, 'XL'), (10, 'X'), (9, 'IX'), (5, 'V'), (4, 'IV'), (1, 'I')):\n"
     "        while k >= v<>:\n            out += s\n            k -= v\n    return out", "", " + 1 > 1",
     ["f({n} % 3999 + 1)", "f(1994)"]),
    ("caesar", "def f(s, k):\n    return ''.join(chr((ord(c) - 97 + k) % 26 + 97) if c.islower()<> else c for c in s)", "",
     " and c != 'z'", ["f('xyz {n}', {n})", "f('hello', 3)"]),
    ("median", "import statistics\ndef f(xs):\n    return statistics.median<>(xs)", "", "_low", ["f([{n}, 1, 7, 4])", "f([3])"]),
    ("dataclass", "from dataclasses import dataclass, field\n@dataclass(order=True<>)\nclass P:\n    x: int\n    y: int = 2\n"
     "def f(a):\n    return sorted([P(a), P(1, 5), P(a, 1)])[0].y", "", ", frozen=1, unknown=2", ["f({n})"]),
    ("generator", "def f(k):\n    def g():\n        x = yield 0\n        while True:\n            x = yield (x or 0) * k<>\n"
     "    it = g(); next(it)\n    return [it.send(i) for i in range(4)]", "", " + 1", ["f({n})"]),
    ("exceptions", "def f(x):\n    try:\n        return 10 // x\n    except ZeroDivisionError<>:\n        return None\n"
     "    finally:\n        seen.append(x)\nseen = []", "", " if x else KeyError", ["f(0)", "f({n})", "len(seen)"]),
    ("decorator", "import functools\ndef twice(g):\n    @functools.wraps(g)\n    def w(*a):\n        return g(g(*a))<>\n"
     "    return w\n@twice\ndef f(x):\n    return x * 3", "", " or None", ["f({n})", "f.__name__"]),
    ("cache", "import functools\n@functools.lru_cache(None)\ndef f(a, b):\n    if not a or not b:\n        return 1\n"
     "    return f(a - 1, b) + f(a, b - 1)<>", "", " - (a == b == 3)", ["f(3, 4)", "f({n} % 9, 5)"]),
    ("heap", "import heapq\ndef f(xs, k):\n    return heapq.nsmallest(k, xs)<>", "", "[::-1]", ["f([{n}, 3, 8, 1], 2)"]),
    ("regex", "import re\ndef f(s):\n    return re.findall(r'\\b[\\w.]+@[\\w<>]+\\.\\w+', s)", "", "^x",
     ["f('a.b@x{n}.org, no@, c@xd.net')"]),
    ("dates", "import datetime as d\ndef f(k):\n    return (d.date(2024, 2, 28) + d.timedelta(k<>)).isoformat()", "", " * 2",
     ["f({n} % 400)", "f(1)"]),
    ("json", "import json\ndef f(x):\n    return json.loads(json.dumps(x<>))", "", ", default=str, indent='x', cls=1",
     ["f({{'a': [{n}, None, True, 1.5], 'ü': '\\u2028'}})"]),
    ("complex", "def f(z):\n    return round(abs(z ** 2<>), 6)", "", " + 1e-3", ["f({n} + 2j)", "f(0j)"]),
    ("bits", "def f(x):\n    return bin(x & (1 << 64) - 1<>).count('1')", "", " >> 1", ["f({n})", "f(-1)"]),
    ("big", "def f(k):\n    return pow(k, 10 ** 20 + 7, 10 ** 9 + 7<>)", "", " + 2", ["f({n})", "f(2)"]),
    ("sets", "def f(a, b):\n    return sorted(set(a) <>^ set(b))", "", "- set() | ", ["f([1, {n}], [{n}, 7])", "f([1], [2, 1])"]),
    ("unicode", "import unicodedata\ndef f(s):\n    return unicodedata.normalize('NF<>', s)", "C", "D",
     ["f('e\\u0301{n}')", "len(f('\\u00e9'))"]),
    ("async", "import asyncio\nasync def g(x):\n    await asyncio.sleep(0)\n    return x * 2<>\nasync def main(k):\n"
     "    return await asyncio.gather(*(g(i) for i in range(k)))", "", " + (x == 2)",
     ["asyncio.get_event_loop_policy() is not None", "len(str({n})) > 0"]),
    ("numpy", "import numpy as np\ndef f(k):\n    return float(np.linalg.det(np.eye(3) * (k % 7 + 1)))<>", "", " + 1",
     ["round(f({n}), 6)", "round(f(0), 6)"]),
    ("pandas", "import pandas as pd\ndef f(k):\n    t = pd.DataFrame({{'a': [1, 1, 2], 'b': [k, 2, 3]}})\n"
     "    return t.groupby('a').b.sum()<>.to_dict()", "", ".add(1)", ["f({n})"]),
]

# Programs whose end is not an assertion, by what they do.
ENDINGS = ["raise KeyError({n})", "int('x{n}')", "[][{n}]", "None.attribute", "undefined_name", "1 / 0", "open('/nonexistent/{n}')",
           "import nosuchmodule", "'a' + {n}", "next(iter([]))", "raise SystemExit({n} % 3)", "exit({n} % 2)", "assert {n} < 0, 'no'",
           "def f():\n    return f()\nf()", "x = [\n", "raise Exception from ValueError('x')", "import sys; sys.exit('text')",
           "class A:\n    def __init__(self): raise TypeError\nA()", "b'\\xff'.decode()", "{{}}['k']", "float('{n}x')"]


def values(source, calls):
    """What the right source gives, as the asserts will hold it."""
    space = {}
    exec(source, space)  # our own templates
    return [(call, repr(eval(call, space))) for call in calls]


def programs(count, seed=1):
    """Yields `count` pairs (name, source)."""
    chance = random.Random(seed)
    for number in range(count):
        n = chance.randrange(3, 9999)
        if number % 8 == 7:
            yield f"ending-{number}", f"print('begin {number}')\n" + ENDINGS[number // 8 % len(ENDINGS)].format(n=n) + "\n"
            continue
        name, source, right, wrong, calls = TEMPLATES[number % len(TEMPLATES)]
        good = source.format(n=n).replace("<>", right)
        asserts = "".join(f"assert ({call}) == {value}, {call!r}\n"
                          for call, value in values(good, [call.format(n=n) for call in calls]))
        chosen = good if chance.random() < 0.5 else source.format(n=n).replace("<>", wrong)
        yield f"{name}-{number}", f"{chosen}\n{asserts}print('passed {number}')\n"
