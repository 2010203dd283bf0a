"""A corpus of answers by construction: every kind of answer, written rightly in several forms, and missed by little.

Labels are never judged: a right answer is the truth in another notation, a wrong one differs by what its name says.
"""

# ruff: noqa: E501 - tables of cases

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True)
class Case:
    """One solution and its ground truth; `way` is the form of a right one, or what is wrong with a wrong one."""

    kind: str
    way: str
    solution: str
    truth: str
    right: bool
    question: str = ""


Made = Iterator[tuple[str, str, str, bool]]
"""(way, answer, truth, right)"""


def corpus(seed: int, rounds: int) -> list[Case]:
    """Make the cases of every kind, `rounds` times with other numbers."""
    generator = random.Random(seed)
    cases = []
    for _ in range(rounds):
        for kind, make in KINDS.items():
            cases += [Case(kind, way, _stated(answer), truth, right) for way, answer, truth, right in make(generator)]
        cases += list(_statements(generator))
    return cases


def _stated(answer: str) -> str:
    return f"Some steps come first.\n<solution>{answer}</solution>"


def _integers(generator: random.Random) -> Made:
    n = generator.randint(12, 9_999)
    truth = str(n)
    for way, text in {
        "plain": f"{n}", "thousands": f"{n:,}", "point": f"{n}.0", "dollars": f"${n}", "LaTeX": f"${n}$", "noun": f"{n} apples",
        "sentence": f"There are {n} of them in the end.", "times one": f"{n} \\cdot 1", "name": f"x = {n}", "sum": f"{n - 1} + 1",
        "total": f"{n} eggs in total", "bold": f"**{n}**", "box": rf"\boxed{{{n}}}",
    }.items():  # fmt: skip
        yield way, text, truth, True
    for way, text in {
        "sign": f"-{n}", "digit": f"{n + 1}", "digit before": f"1{n}", "digit behind": f"{n}0", "magnitude": f"{n} million",
        "negation": f"not {n}", "negated": f"{n} isn't right", "comparison": f"> {n}", "at least": f"at least {n}",
        "doubled": f"{n} doubled", "factorial": f"{n}!", "power": f"{n}^2", "plus": f"{n}+", "base": f"{n}_{{11}}",
        "hedge": f"{n} or {n + 2}", "two": f"{n}, {n + 1}", "equation": f"x^2 = {n}", "minus": f"-x = {n}", "percent": f"{n}.5%",
        "less": f"{n} less than {2 * n}", "crore": f"{n} crore", "variable": f"{n}x", "approximate": f"almost {n}",
        "interval": f"({n}, {n + 1})", "difference": f"{n} - 1", "wrong": f"{n} is wrong", "fraction": f"{n}/{n + 1}",
    }.items():  # fmt: skip
        yield way, text, truth, False


def _fractions(generator: random.Random) -> Made:
    value = Fraction(generator.randint(2, 60), generator.choice([7, 9, 11, 13, 17]))
    if value.denominator == 1:
        value += Fraction(1, 7)
    p, q = value.numerator, value.denominator
    truth = rf"\frac{{{p}}}{{{q}}}"
    for way, text in {
        "slash": f"{p}/{q}", "dfrac": rf"\dfrac{{{p}}}{{{q}}}", "unreduced": f"{3 * p}/{3 * q}", "digits": f"{p / q:.8f}",
        "mixed": f"{p // q} {p % q}/{q}" if p > q else f"{p}/{q}", "signs": rf"\frac{{-{p}}}{{-{q}}}", "name": f"p = {p}/{q}",
        "sum": rf"\frac{{{p - 1}}}{{{q}}} + \frac{{1}}{{{q}}}",
    }.items():  # fmt: skip
        yield way, text, truth, True
    for way, text in {
        "sign": f"-{p}/{q}", "digit": f"{p + 1}/{q}", "order": f"{q}/{p}", "missing part": f"{p}", "rounded": f"{p / q:.2f}",
        "extra part": f"{p}/{q}, {q}", "percent": f"{min(p, q)}/{q}%", "near": rf"\frac{{{p * 10**7 + 1}}}{{{q * 10**7}}}",
        "negation": f"not {p}/{q}", "denominator": f"{p}/{q + 1}", "digit of decimal": f"{p / q + 2e-6:.7f}",
    }.items():  # fmt: skip
        yield way, text, truth, False


def _decimals(generator: random.Random) -> Made:
    cents = generator.randint(101, 9_999)
    cents += cents % 10 == 0
    value = Fraction(cents, 100)
    truth = f"{cents / 100:.2f}"
    for way, text in {
        "zero": f"{truth}0", "fraction": f"{cents}/100", "dollars": f"${truth}", "scientific": f"{cents} \\times 10^{{-2}}",
        "percent": f"{cents}%", "LaTeX": f"${truth}$", "e": f"{cents}e-2",
    }.items():  # fmt: skip
        yield way, text, truth, True
    for way, text in {
        "sign": f"-{truth}", "digit": f"{(cents + 1) / 100:.2f}", "magnitude": f"{cents / 10:.1f}", "point": f"{cents}",
        "decimal comma": truth.replace(".", ","), "rounded": f"{cents / 100:.0f}", "further digit": f"{truth}1",
        "third": f"{value + Fraction(1, 300)}", "power": f"{truth}^2", "cut": truth[:-1],
    }.items():  # fmt: skip
        yield way, text, truth, False


def _expressions(generator: random.Random) -> Made:
    a, b = generator.randint(2, 9), generator.randint(10, 19)
    truth = rf"{a}x^2 + {b}x - {a}"
    for way, text in {
        "order": f"{b}x + {a}x^2 - {a}", "python": f"{a}x**2 + {b}x - {a}", "factored": f"x({a}x + {b}) - {a}",
        "name": f"y = {a}x^2 + {b}x - {a}", "dots": rf"{a} \cdot x^{{2}} + {b} \cdot x - {a}",
    }.items():  # fmt: skip
        yield way, text, truth, True
    for way, text in {
        "sign": f"{a}x^2 - {b}x - {a}", "digit": f"{a}x^2 + {b + 1}x - {a}", "power": f"{a}x^3 + {b}x - {a}",
        "missing part": f"{a}x^2 + {b}x", "extra part": f"{a}x^2 + {b}x - {a} + 1", "variable": f"{a}z^2 + {b}z - {a}",
        "value": f"{a}", "equation": f"{a}x^2 + {b}x - {a} = 0", "near": rf"{a}x^2 + {b}x - {a} + 10^{{-12}}",
    }.items():  # fmt: skip
        yield way, text, truth, False


def _coefficients(generator: random.Random) -> Made:
    p, q = generator.choice([(1, 2), (3, 2), (3, 4), (5, 2), (7, 5)])
    for thing in ("x", r"\pi", r"\sqrt{2}", "x^2", "(x + 1)"):
        truth = rf"\frac{{{p}}}{{{q}}}{thing}"
        yield "above", rf"\frac{{{p} {thing}}}{{{q}}}", truth, True
        yield "slash", f"{p}/{q} {thing}", truth, True
        yield "decimal", f"{p / q}{thing}", truth, True
        yield "below", rf"\frac{{{p}}}{{{q} {thing}}}", truth, False
        yield "sign", rf"-\frac{{{p}}}{{{q}}}{thing}", truth, False
        yield "inverse", rf"\frac{{{q}}}{{{p}}}{thing}", truth, False
        yield "missing part", rf"\frac{{{p}}}{{{q}}}", truth, False
    yield "digits behind", rf"\frac{{{p}}}{{{q}}}3", f"{p}/{q}3", False
    yield "bare digits", rf"\frac{p}{{{q}}}", rf"\frac{{{p}}}{{{q}}}", True
    yield "constant", f"{p / q}x + c", rf"\frac{{{p}x}}{{{q}}} + C", True
    yield "no constant", f"{p / q}x", rf"\frac{{{p}x}}{{{q}}} + C", False


def _ratios(generator: random.Random) -> Made:
    p, q = generator.choice([(7, 3), (5, 2), (9, 4)])
    truth = f"{p} : {q}"
    yield "blanks", f"{p}:{q}", truth, True
    yield "multiple", f"{3 * p}:{3 * q}", truth, True
    yield "fraction", f"{p}/{q}", truth, True
    yield "order", f"{q}:{p}", truth, False
    yield "extra part", f"{p}:{q}:1", truth, False
    yield "digits", f"{p}{q}", truth, False
    yield "decimal", f"{p}.{q}", truth, False
    yield "share", f"{p}/{p + q}", truth, False


def _radicals(generator: random.Random) -> Made:
    a, b = generator.randint(2, 9), generator.choice([2, 3, 5, 7])
    truth = rf"{a}\sqrt{{{b}}}"
    for way, text in {
        "inside": rf"\sqrt{{{a * a * b}}}", "unicode": f"{a}√{b}", "python": f"{a}*sqrt({b})", "power": rf"{a} \cdot {b}^{{1/2}}",
        "quotient": rf"\frac{{{a * b}}}{{\sqrt{{{b}}}}}", "half": rf"{a} \cdot {b}^{{0.5}}",
    }.items():  # fmt: skip
        yield way, text, truth, True
    for way, text in {
        "sign": rf"-{a}\sqrt{{{b}}}", "digit": rf"{a + 1}\sqrt{{{b}}}", "order": rf"{b}\sqrt{{{a}}}" if a != b else "1",
        "root": rf"{a}\sqrt[3]{{{b}}}", "rounded": f"{a * b**0.5:.3f}", "missing part": f"{a}", "inside too": rf"\sqrt{{{a * b}}}",
        "both signs": rf"\pm {a}\sqrt{{{b}}}", "near": rf"{a}\sqrt{{{b}}} + 10^{{-15}}",
    }.items():  # fmt: skip
        yield way, text, truth, False


def _powers(generator: random.Random) -> Made:
    n = generator.randint(15, 60)
    truth = f"10^{{-{n}}}"
    yield "fraction", rf"\frac{{1}}{{10^{{{n}}}}}", truth, True
    yield "e", f"1e-{n}", truth, True
    yield "exponent", f"10^{{-{n + 1}}}", truth, False
    yield "sign", f"10^{{{n}}}", truth, False
    yield "zero", "0", truth, False
    big = generator.randint(1_000, 3_000)
    yield "product", f"3 \\cdot 3^{{{big - 1}}}", f"3^{{{big}}}", True
    yield "base", f"2^{{{big}}}", f"3^{{{big}}}", False
    yield "digit", f"3^{{{big}}} + 1", f"3^{{{big}}}", False


def _lists(generator: random.Random) -> Made:
    a, b, c = sorted(generator.sample(range(1, 60), 3))
    truth = f"{a}, {b}, {c}"
    for way, text in {
        "order": f"{c}, {a}, {b}", "Oxford": f"{a}, {b}, and {c}", "and": f"{a}, {b} and {c}", "braces": rf"\{{{a}, {b}, {c}\}}",
        "semicolons": f"{a}; {b}; {c}", "names": f"x = {a}, x = {b}, x = {c}", "LaTeX": f"${a}, {b}, {c}$",
    }.items():  # fmt: skip
        yield way, text, truth, True
    for way, text in {
        "missing part": f"{a}, and {c}", "last": f"{c}", "extra part": f"{a}, {b}, {c}, and {c + 1}", "digit": f"{a}, {b}, and {c + 1}",
        "sign": f"{a}, -{b}, {c}", "ellipsis": f"{a}, ..., {c}", "joined": f"{a}{b}{c}",
    }.items():  # fmt: skip
        yield way, text, truth, False
    truth = r"1, 2, 3, \ldots, " + str(90 + a)
    yield "ellipsis", f"1, 2, 3, ..., {90 + a}", truth, True
    yield "step", f"1, 3, 5, ..., {90 + a}", truth, False
    yield "end", f"1, 2, 3, ..., {91 + a}", truth, False


def _points(generator: random.Random) -> Made:
    a, b = generator.sample(range(2, 30), 2)
    truth = f"({a}, \\frac{{{b}}}{{31}})"
    for way, text in {
        "slash": f"({a}, {b}/31)", "brackets": rf"\left({a}, \frac{{{b}}}{{31}}\right)", "names": f"x = {a}, y = {b}/31",
        "bare": f"{a}, {b}/31", "sum": f"({a - 1} + 1, {b}/31)",
    }.items():  # fmt: skip
        yield way, text, truth, True
    for way, text in {
        "order": f"({b}/31, {a})", "sign": f"(-{a}, {b}/31)", "digit": f"({a}, {b + 1}/31)", "missing part": f"{a}",
        "extra part": f"({a}, {b}/31, 0)", "set": rf"\{{{a}, {b}/31\}}", "closed": f"[{a}, {b}/31]", "names": f"y = {a}, x = {b}/31",
    }.items():  # fmt: skip
        yield way, text, truth, False


def _intervals(generator: random.Random) -> Made:
    a = generator.randint(-20, 20)
    b = a + generator.randint(2, 20)
    truth = f"[{a}, {b})"
    for way, text in {
        "inequality": rf"{a} \le x < {b}", "membership": rf"x \in [{a}, {b})", "from right": f"{b} > x >= {a}", "sum": f"[{a}, {b - 1} + 1)",
        "builder": rf"\{{x \mid {a} \leq x < {b}\}}", "brackets": rf"\left[{a}, {b}\right)",
    }.items():  # fmt: skip
        yield way, text, truth, True
    for way, text in {
        "endpoint": f"({a}, {b})", "other endpoint": f"[{a}, {b}]", "order": f"[{b}, {a})", "digit": f"[{a}, {b + 1})",
        "missing part": rf"x < {b}", "strict": f"{a} < x < {b}", "one end": f"{a}", "infinite": rf"[{a}, \infty)",
        "union": rf"[{a}, {b}) \cup \{{{b + 2}\}}", "outside": rf"x < {a} \text{{ or }} x \ge {b}",
    }.items():  # fmt: skip
        yield way, text, truth, False
    truth = rf"(-\infty, {a}) \cup ({b}, \infty)"
    yield "or", f"x < {a} or x > {b}", truth, True
    yield "order", rf"({b}, \infty) \cup (-\infty, {a})", truth, True
    yield "endpoint", rf"(-\infty, {a}] \cup ({b}, \infty)", truth, False
    yield "missing part", rf"(-\infty, {a})", truth, False
    yield "between", f"({a}, {b})", truth, False


def _matrices(generator: random.Random) -> Made:
    a, b, c, d = generator.sample(range(1, 50), 4)

    def matrix(rows: str, name: str = "pmatrix") -> str:
        return rf"\begin{{{name}}} {rows} \end{{{name}}}"

    truth = matrix(rf"{a} & {b} \\ {c} & {d}")
    for way, rows in {
        "tight": rf"{a}&{b}\\{c}&{d}",
        "sums": rf"{a - 1}+1 & {b} \\ {c} & {d}",
        "skip": rf"{a} & {b} \\[2pt] {c} & {d}",
    }.items():
        yield way, matrix(rows), truth, True
    yield "brackets", matrix(rf"{a} & {b} \\ {c} & {d}", "bmatrix"), truth, True
    for way, rows in {
        "transpose": rf"{a} & {c} \\ {b} & {d}", "order": rf"{c} & {d} \\ {a} & {b}", "sign": rf"{a} & -{b} \\ {c} & {d}",
        "digit": rf"{a} & {b} \\ {c} & {d + 1}", "missing part": rf"{a} & {b}", "extra part": rf"{a} & {b} \\ {c} & {d} \\ 0 & 0",
        "flat": rf"{a} & {b} & {c} & {d}",
    }.items():  # fmt: skip
        yield way, matrix(rows), truth, False
    vector = matrix(rf"{a} \\ {b} \\ {c}")
    yield "vector", matrix(rf"{a}\\{b}\\{c}"), vector, True
    yield "permutation", matrix(rf"{b} \\ {a} \\ {c}"), vector, False
    yield "row", matrix(rf"{a} & {b} & {c}"), vector, False


def _equations(generator: random.Random) -> Made:
    m, b = generator.randint(2, 9), generator.randint(10, 30)
    truth = f"y = {m}x + {b}"
    for way, text in {
        "implicit": f"{m}x - y + {b} = 0", "swapped": f"{m}x + {b} = y", "moved": f"y - {b} = {m}x", "multiple": f"2y = {2 * m}x + {2 * b}",
    }.items():  # fmt: skip
        yield way, text, truth, True
    for way, text in {
        "sign": f"y = {m}x - {b}", "digit": f"y = {m + 1}x + {b}", "order": f"x = {m}y + {b}", "identity": "0 = 0",
        "no solutions": "x^2 + 1 = 0", "missing part": f"y = {m}x", "inequality": f"y < {m}x + {b}", "value": f"{b}",
    }.items():  # fmt: skip
        yield way, text, truth, False
    truth = f"x^2 - 2x + {b} = 0"
    yield "identity", "0 = 0", truth, False
    yield "other without solutions", f"x^2 + {b} = 0", truth, False
    yield "multiple", f"2x^2 - 4x + {2 * b} = 0", truth, True


def _quantities(generator: random.Random) -> Made:
    n = generator.randint(2, 90)
    for (small, large, size), other in (
        (("cm", "m", 100), "kg"), (("minutes", "hours", 60), "km"), (("g", "kg", 1000), "ml"), (("ms", "s", 1000), "m"),
        (("cents", "dollars", 100), "euros"), (("kg", "tons", 1000), "degrees"),
    ):  # fmt: skip
        truth = f"{n} {large}"
        yield "bare", f"{n}", truth, True
        yield "smaller unit", f"{n * size} {small}", truth, True
        yield "text", rf"{n}\text{{ {large}}}", truth, True
        yield "unit", f"{n} {small}", truth, False
        yield "other unit", f"{n} {other}", truth, False
        yield "magnitude", f"{n * size} {large}", truth, False
        yield "power", f"{n} {large}^2", truth, False
    yield "sign behind", f"{n}€", f"{n} euros", True
    yield "other sign behind", f"{n}€", f"${n}", False
    yield "unit behind formula", f"${n}$ km", f"{n} m", False
    yield "abbreviated", f"{n} pct", f"{n}\\%", True
    yield "words per", f"{n} miles per hour", f"{n} mph", True
    yield "other speed", f"{n} km per hour", f"{n} mph", False
    yield "degrees", f"{n}°C", f"{n}°C", True
    yield "scale", f"{n}°F", f"{n}°C", False
    yield "angle", f"{n} radians", rf"{n}^\circ", False
    yield "noun", f"{n} apples", f"{n} oranges", False


def _choices(generator: random.Random) -> Made:
    right, wrong = generator.sample("ABCDE", 2)
    for way, text in {
        "letter": right, "brackets": f"({right})", "option": f"Option {right}", "content": f"{right}. Paris", "small": right.lower(),
        "sentence": f"The correct option is ({right})", "bold": f"**{right}**",
    }.items():  # fmt: skip
        yield way, text, right, True
    for way, text in {
        "other": wrong, "two": f"{right} or {wrong}", "corrected": f"{right}. or rather, {wrong}", "negation": f"not {right}",
        "denied": f"({right}) is wrong", "list": f"{right}, {wrong}", "other content": f"({wrong}) Paris", "all": "A, B, C, D, E",
    }.items():  # fmt: skip
        yield way, text, right, False


def _complex(generator: random.Random) -> Made:
    a, b = generator.randint(2, 9), generator.randint(10, 19)
    truth = f"{a} + {b}i"
    yield "order", f"{b}i + {a}", truth, True
    yield "product", f"i({b} - {a}i)", truth, True
    yield "conjugate", f"{a} - {b}i", truth, False
    yield "parts", f"{b} + {a}i", truth, False
    yield "real part", f"{a}", truth, False
    yield "letter", f"{a} + {b}j", truth, False


def _words(generator: random.Random) -> Made:
    truth, other = generator.sample(
        ["Monday", "Tuesday", "Paris", "New York", "increasing", "Alice", "none of these"], 2
    )
    yield "case", truth.upper(), truth, True
    yield "text", rf"\text{{{truth}}}", truth, True
    yield "other", other, truth, False
    yield "negation", f"not {truth}", truth, False
    yield "hedge", f"{truth} or {other}", truth, False
    yield "piece", truth[:-1], truth, False


def _unreadable(generator: random.Random) -> Made:
    n = generator.randint(2, 60)
    for truth in (
        rf"x \equiv {n} \pmod 7",
        rf"{n}\mathbb{{Z}}",
        rf"{n} \text{{ if }} k \text{{ is odd}}",
        rf"\triangle_{n} \sim {n + 1}",
    ):
        yield "same", truth, truth, True
        yield "part", f"{n}", truth, False
        yield "digit", truth.replace(str(n), str(n + 100), 1), truth, False


KINDS: dict[str, Callable[[random.Random], Made]] = {
    "integer": _integers, "fraction": _fractions, "decimal": _decimals, "expression": _expressions, "radical": _radicals,
    "power": _powers, "list": _lists, "point": _points, "interval": _intervals, "matrix": _matrices, "equation": _equations,
    "quantity": _quantities, "choice": _choices, "complex": _complex, "words": _words, "coefficient": _coefficients, "ratio": _ratios, "unreadable truth": _unreadable,
}  # fmt: skip


def _statements(generator: random.Random) -> Iterator[Case]:
    """Yield whole solutions, in which an answer is stated, corrected, quoted or denied."""
    n = generator.randint(10, 900)
    m = n + generator.randint(1, 9)
    forms = {
        "answer line": ("The answer is {}.", True), "box": (r"So \boxed{{{}}}.", True), "hashes": ("Steps.\n#### {}", True),
        "label": ("Steps.\nA: {}", True), "below": ("Answer:\n{}", True), "tags": ("<solution>{}</solution>", True),
        "format after": ("<solution>{}</solution> (format: `<solution>answer</solution>`)", True),
        "without doubt": ("There is no doubt that the answer is {}.", True),
        "denied": ("I doubt that the answer is {}.", False), "wrong": ("A wrong answer is {}.", False),
        "not": ("The answer is not {}.", False), "not box": (r"It cannot be \boxed{{{}}}.", False),
        "took back": (r"\boxed{{{}}}. Wait, that is wrong.", False), "took back later": ("The answer is {0}. The answer is not {0}.", False),
        "thinking": ("<thinking>The answer is {}.</thinking> I cannot say.", False), "think": (r"<think>\boxed{{{}}}</think>", False),
        "brackets": ("[THINK]The answer is {}.[/THINK] No idea.", False),
        "channel": ("<|channel|>analysis<|message|>The answer is {}.<|end|>", False),
        "quoted": ('The hint says "the answer is {}".', False), "block": ("> The answer is {}.\nIs it so?", False),
        "reported": ("The teacher says the answer is {}.", False), "told": ("I am told the answer is {}.", False),
        "another's": ("The textbook's answer is {}.", False), "remark after": ("The answer is {}. Wait, it's easy to check.", True),
        "cut off": ("<solution>{}", False),
    }  # fmt: skip
    for way, (form, right) in forms.items():
        yield Case("statement", way, form.format(n), str(n), right)
    pairs = {
        "box then line": r"First \boxed{{{}}}. But checking, the answer is {}.", "two tags": "<solution>{}</solution> No: <solution>{}</solution>",
        "two lines": "The answer is {}. Wait, the answer is {}.", "tag then box": r"The teacher wrote <solution>{}</solution>. I get \boxed{{{}}}.",
        "thought": "<think>The answer is {}.</think>The answer is {}.", "line then tag": "The answer is {}, or so. <solution>{}</solution>",
        "make that": "The answer is {}. Actually, make that {}.", "it is": "The answer is {}. Wait, it is {}.",
    }  # fmt: skip
    for way, form in pairs.items():
        yield Case("correction", way, form.format(n, m), str(m), right=True)
        yield Case("correction", way, form.format(n, m), str(n), right=False)
