"""Telling help from giving the answer away.

A *leak* is a teaching that asserts the ground-truth answer ("the answer is X", "choose B", boxed, in solution tags, as
the result of an equation, as arithmetic that comes to it), or that contains a distinctive answer, too long to occur by
chance, which stands in neither question nor approach. Every other occurrence ("step 2" when the answer is 2) is only
*suspected*.
"""

# ruff: noqa: RUF001 - teachings use typographic quotes and minus signs

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Literal

from trainers.teaching.leaks.choices import eliminates_all_others, options, without_options
from trainers.teaching.leaks.expressions import find_expressions
from trainers.teaching.leaks.numerals import other_numerals
from trainers.teaching.leaks.spelling import join_digits, plain
from trainers.teaching.lesson import Question
from trainers.teaching.verifiers.accepted_answers import accepted_answers
from trainers.teaching.verifiers.choices import Choice, read_choice
from trainers.teaching.verifiers.mathematics.notation import FRACTIONS, clean, join_thousands
from trainers.teaching.verifiers.mathematics.number_words import NUMBER_WORDS, words_to_number
from trainers.teaching.verifiers.mathematics.numbers import PlainNumber, equal_numbers, parse_plain_number
from trainers.teaching.verifiers.mathematics.quantities import read_quantity
from trainers.teaching.verifiers.mathematics.units import parse_unit

Reason = Literal["assertion", "final_equation", "distinctive", "occurrence"]


@dataclass(frozen=True)
class Leak:
    """The judgement of one teaching: whether it gives the answer away.

    `suspected` marks an occurrence of the answer that is no leak by our rules, so it is False when `leaked` is True.
    `reason` says which rule decided; `None` when the answer does not occur.
    """

    leaked: bool
    suspected: bool
    reason: Reason | None


_NO_LEAK = Leak(False, False, None)


@dataclass(frozen=True)
class _Mention:
    """Where the answer stands. A `computed` one is an expression with the answer's value ("16/2" for 8)."""

    start: int
    end: int
    computed: bool = False


@dataclass(frozen=True)
class _Target:
    """The answer to look for: how to find it, and whether finding it can hardly be chance."""

    mentions: Callable[[str], Iterator[_Mention]]
    distinctive: bool
    value: Fraction | None = None


def find_leak(teaching: str, ground_truth: str | None, question: str, approach: str) -> Leak:
    """Judge one teaching against the row's ground truth (`None`: nothing can leak).

    Pure and regex-based: what is asserted is read from the words around the answer, so a paraphrase can escape it;
    a distinctive answer in whatever spelling cannot. Of a question with lettered options, the right one's text gives
    the answer away as its letter does, and so does ruling out all the others.
    """
    if not ground_truth:
        return _NO_LEAK
    choice = read_choice(clean(ground_truth))
    if not (target := _target(choice.letter if choice else ground_truth)):
        return _NO_LEAK
    text, given = _tidy(plain(teaching)), _tidy(plain(f"{question}\n{approach}"))
    found = _judge(target, text, given)
    # "1 000" is a thousand, or a 1 beside another number, and "4 2" may be 42.
    for join in (join_thousands, join_digits):
        if not found.leaked and (joined := join(text)) != text:
            other = _judge(target, joined, f"{given}\n{join(given)}")
            found = other if other.leaked or not found.suspected else found
    if not found.leaked and choice and _gives_choice(choice, text, question, approach):
        return Leak(True, False, "assertion")
    return found


def find_leak_of_any(teaching: str, question: Question, approach: str) -> Leak:
    """Judge one teaching against every answer that its question accepts, as `find_leak` does; the worst counts."""
    found = [find_leak(teaching, answer, question.text, approach) for answer in accepted_answers(question)]
    return max(found, key=lambda leak: (leak.leaked, leak.suspected), default=_NO_LEAK)


def _gives_choice(choice: Choice, text: str, question: str, approach: str) -> bool:
    offered = options(question)
    if choice.letter in offered and eliminates_all_others(text, choice.letter, frozenset(offered)):
        return True
    content = offered.get(choice.letter) or choice.content
    if not content:
        return False
    # All options stand in the question, and say nothing about which of them is right.
    given = _tidy(plain(f"{without_options(question)}\n{approach}"))
    targets = [target for target in (_target(content), _wording(content)) if target]
    known = any(True for target in targets for _ in target.mentions(given))
    return any(
        _is_asserted(text, mention) or (not known and _is_weakly_asserted(text, mention, target))
        for target in targets
        for mention in target.mentions(text)
    )


def _judge(target: _Target, text: str, given: str) -> Leak:
    mentions = list(target.mentions(text))
    if target.value is not None:
        mentions += [_Mention(*span, computed=True) for span in find_expressions(text, target.value, given)]
    if not mentions:
        return _NO_LEAK
    if any(_is_asserted(text, mention) for mention in mentions):
        return Leak(True, False, "assertion")
    known = any(not mention.computed for mention in target.mentions(given))
    literal = [mention for mention in mentions if not mention.computed]
    if not known and any(_is_weakly_asserted(text, mention, target) for mention in mentions):
        return Leak(True, False, "assertion")
    if not known and _is_result(text, literal, given):
        return Leak(True, False, "final_equation")
    if _is_final_result(text, mentions, given) and not any(
        _follows_equals(given, mention) for mention in target.mentions(given)
    ):
        return Leak(True, False, "final_equation")
    if literal and target.distinctive and not known:
        return Leak(True, False, "distinctive")
    return Leak(False, True, "occurrence") if literal else _NO_LEAK


# --- what is asserted --------------------------------------------------------------------------------------------

_OPENING = r"[\s$€£*_`\"'“”‘(\[{\\]*"
_FILLER = (
    r"(?:(?:exactly|about|around|approximately|approx\.?|roughly|simply|just|therefore|thus|clearly|indeed|actually|equal\s+to|precisely|option|choice|letter|number|"
    r"value|the|x|y)\b[\s:]*|\\(?:boxed|text|textbf|mathbf|mathrm|displaystyle)\b\s*\{?)*"
)
_UP_TO_VALUE = rf"{_OPENING}{_FILLER}{_OPENING}(?:[-−]|(?:minus|negative)\s)?\s*$"
_NEGATION = re.compile(
    r"(?:\b(?:not|never|avoid|without|rather\s+than|instead\s+of|cannot|wrong|incorrect|whether|if)|n['’]t)\s+"
    r"(?:to\s+|be\s+|say\s+|that\s+)?(?:the\s+|your\s+|an?\s+)?(?:final\s+)?$",
    re.IGNORECASE,
)
_ASSERTION = re.compile(
    r"(?:"
    r"\b(?:answer|result|solution)s?\b[*_]*(?:\s+(?:to|for|of|in|you|we|that|here)\b[^.;:?!\n]{0,40}?)?"
    r"(?:[*_]*\s*(?:[:=→,]|\b(?:is|are|was|be|being|equals?|becomes|must|should|will|would|has|have|comes?|turns?|works?|"
    r"to|out|as|of|then|also|now|still|with|so)\b))+"
    r"|\b(?:choose|choosing|select|pick|picking|go(?:ing)?\s+(?:with|for)|opt(?:ing)?\s+for|mark|circle|tick|answer)\b"
    r"|\b(?:correct|right|best|final|true)\s+(?:answer|option|choice|letter|one|value|result)\b\s*(?:is|:|=|→)?"
    r"|\b(?:respuesta|réponse|antwort|risposta|resposta|antwoord|ответ|odpowiedź|cevap)\b(?:\s+(?:final\w*|correct\w*))?"
    r"(?:\s*(?:[:=—]|\b(?:es|est|ist|è|é|is|to)\b))+|(?:答案|答え|答)\s*(?:[:：=]|是|为|為|は)*"
    r"|\b(?:print|console\.log|echo|puts)\s*\(?|\breturn\b"
    r"|\\(?:boxed|fbox)\s*\{|<(?:solution|answer)>|\#{4}"
    r"|\byou(?:['’]ll|\s+(?:should|will|would|must|can))?\s+(?:finally\s+)?(?:end\s+up\s+with|arrive\s+at)"
    rf"){_UP_TO_VALUE}",
    re.IGNORECASE,
)
_CONFIRMATION = re.compile(
    r"[\s)*\"'$}\]]*(?:\w+\s)?(?:is|was|are)\s+(?:indeed\s+|therefore\s+|in\s+fact\s+)?(?:the\s+|your\s+)?(?:"
    r"(?:correct|right|final|true)\b|(?:answer|result|solution)\b)",
    re.IGNORECASE,
)
# "8", "**8**", "Ans: 8", "Therefore, 8." and "8 apples", where nothing else follows.
_ALONE_BEFORE = re.compile(
    r"[\W_]*(?:[^\W\d_]+\s*[:=→]|(?:so|therefore|thus|hence|finally|option|choice|letter)\b)?[\W_]*", re.IGNORECASE
)
_ALONE_AFTER = re.compile(r"[\W_]*(?:[^\W\d_]+[\W_]*)?")
_WEAK_ASSERTION = re.compile(
    r"(?:"
    r"\b(?:it|that)['’]s|\b(?:you|we|it|this|that|which|they|she|he)(?:['’]ll|\s+(?:should|will|would|must|can))?\s+"
    r"(?:gets?|obtains?|finds?|reach(?:es)?|haves?|gives?|makes?|leaves?|equals?|comes?\s+(?:out\s+)?to|be|is)"
    r"|\b(?:gives|yields|produces|leaves|makes|giving|getting|obtaining|leaving|equals?|equal\s+to|comes\s+(?:out\s+)?to|amounts\s+to|adds\s+up\s+to)"
    r"|\b(?:total|sum|difference|product|quotient|remainder|amount|value|profit|cost)\s+(?:is|of|equals|will\s+be|must\s+be)"
    r"|\b(?:write|report|output|submit|respond\s+with|reply\s+with|says?|state|conclude\s+with|put|enter)"
    rf")\b[:\s]*(?:[a-z]\s?=\s?)?{_UP_TO_VALUE}",
    re.IGNORECASE,
)
# "The crate holds 42.", "There are 42 in the end.", "Hint: 42?"
_DECLARED = re.compile(
    r"(?:\bthere\s+(?:is|are|were|will\s+be|must\s+be)|\b(?:holds?|has|have|had|contains?|needs?|requires?|costs?|weighs?|earns?|"
    r"pays?|sells?|sold|totals?|counts?|measures?|lasts?|receives?|owns?|saves?|spends?|remains?|think|lands?\s+(?:on|at)|"
    r"hint|key|clue|tip|note|target|goal|end|finally|total|sum)\b\s*[:=,]?)"
    rf"{_UP_TO_VALUE}",
    re.IGNORECASE,
)
_COUNTED_END = re.compile(
    r"\s+[a-z]+(?:\s+(?:in\s+(?:all|total|the\s+end)|left|altogether|here|now|overall|each|per\s+\w+))?\s*(?:[.!?]|$)",
    re.IGNORECASE,
)
_SMALL_COUNT = 12
# "The answer is 2 more than …", "is 3 times …", "is a 2-digit number", "= 2 + …" state no answer.
_OPERATORS = r"\s*(?:[+/^×÷]|\*\s*(?=[\w(\\])|\\(?:times|cdot|div)|[-−]\s*\d)"
_OPERATOR = re.compile(_OPERATORS)
_CONTINUES = re.compile(
    r"\s*-?(?:more|less|fewer|times|digits?|steps?|places?|parts?|decimals?|significant|plus|minus|divided|multiplied|over|"
    rf"or\s+(?:more|less|fewer)|to\s+the|raised|groups?|equations?|cases?)\b|\s*%?\s*of\s+the|{_OPERATORS}",
    re.IGNORECASE,
)
_ENDS = re.compile(
    r"[\s)\]}$*\"'’”]*(?:$|[.,;:!?<\n]|(?:as|in|inside|for|because|since|when|here|left|altogether|overall)\b)",
    re.IGNORECASE,
)
_EQUALS = re.compile(r"(?<![<>!=])=|≈|\bequals\b")
_RESULTS = re.compile(r"(?<=[\w)%])\s{0,3}(?:=>?|≈|->|-->|→|⇒|⟶|\b(?:equals|is|makes|gives|becomes|yields)\b)\s?")
# "12 + 6", "8 lessons * 3 cleans per lesson"
_COMPUTES = re.compile(
    r"\d[\d.,)%]*(?:\s[A-Za-z][\w-]*){0,4}\s?(?:[-+*/×·÷−–^x]|\\(?:times|cdot|div)|plus|minus|times|over|divided\s+by)"
    r"[\s($]{0,3}\.?\d[\d.,)%]*(?:\s[A-Za-z][\w-]*){0,4}\s*$"
)
_EXAMPLE = re.compile(r"(?i)\b(?:example|e\.g\.|imagine|suppose|similar\w*|analog\w*|instance)\b")
_DIGITS = re.compile(r"\d+")
# What stands below "The answer is:" belongs to it.
_SENTENCE_END = re.compile(r"\.\s|(?<![:*\n$\[])\n")
_CONTEXT = 90


def _before(text: str, mention: _Mention) -> str:
    window = text[max(0, mention.start - _CONTEXT) : mention.start]
    return _SENTENCE_END.split(window)[-1]


def _is_asserted(text: str, mention: _Mention) -> bool:
    if _CONTINUES.match(text, mention.end):
        return False
    if _is_alone(text, mention):
        return True
    before = _before(text, mention)
    match = _ASSERTION.search(before)
    if match and not _NEGATION.search(before, 0, match.start()):
        return True
    return bool(_CONFIRMATION.match(text, mention.end)) and not re.search(r"(?i)\b(?:if|whether)\s[^,]*$", before)


def _is_alone(text: str, mention: _Mention) -> bool:
    """Return True where the teaching, or its last line, is nothing but the answer: the shortest way to give it away."""
    start = text.rfind("\n", 0, mention.start) + 1
    if _numbers_item(text, start, mention):
        return False
    if max(mention.start - start, len(text) - mention.end) > _CONTEXT:
        return False
    return (
        _ALONE_BEFORE.fullmatch(text, start, mention.start) is not None
        and _ALONE_AFTER.fullmatch(text, mention.end) is not None
    )


def _numbers_item(text: str, start: int, mention: _Mention) -> bool:
    """Return True for the "3" of "3. Compute." where an item 2 stands before it."""
    number = text[mention.start : mention.end]
    if (
        text[start : mention.start].strip()
        or not number.isdigit()
        or not re.match(r"[.)]\s+[^\W\d]", text[mention.end :])
    ):
        return False
    return re.search(rf"(?m)^\s*{int(number) - 1}[.)]\s", text[:start]) is not None


def _is_analogy(text: str, end: int, given: str) -> bool:
    """Return True for an equation of an example with numbers of its own, which comes to the answer by chance."""
    sentence = _SENTENCE_END.split(text[max(0, end - _CONTEXT) : end])[-1]
    return _EXAMPLE.search(sentence) is not None and not _numerals(sentence) <= _numerals(given)


@lru_cache(maxsize=1024)
def _numerals(text: str) -> frozenset[str]:
    return frozenset(_DIGITS.findall(text))


def _is_result(text: str, literal: list[_Mention], given: str) -> bool:
    """Return True where an equation of numbers comes to the answer, and nothing is computed from it afterwards."""
    for sign in _RESULTS.finditer(text):
        before = text[max(0, sign.start() - _CONTEXT) : sign.start()]
        if not _COMPUTES.search(before) or _is_analogy(text, sign.start(), given):
            continue
        for mention in literal:
            stated = mention.start >= sign.end() and re.fullmatch(_UP_TO_VALUE, text[sign.end() : mention.start])
            if stated and not _OPERATOR.match(text, mention.end) and not _is_used_later(text, mention, literal):
                return True
    return False


def _is_used_later(text: str, mention: _Mention, literal: list[_Mention]) -> bool:
    return any(
        other.start > mention.start
        and (_OPERATOR.match(text, other.end) or re.search(r"[-+*/×·÷−]\s?$", text[: other.start][-3:]))
        for other in literal
    )


def _is_declared(text: str, mention: _Mention, target: _Target) -> bool:
    before = _before(text, mention)
    match = _DECLARED.search(before)
    if match is None or _CONTINUES.match(text, mention.end) or _NEGATION.search(before, 0, match.start()):
        return False
    # "There are 2 cases." is no answer; "There are 42 apples." is.
    large = target.value is not None and abs(target.value) > _SMALL_COUNT
    return _is_final_value(text, mention) or (large and _COUNTED_END.match(text, mention.end) is not None)


def _is_weakly_asserted(text: str, mention: _Mention, target: _Target) -> bool:
    if target.value is not None and not mention.computed and _is_declared(text, mention, target):
        return True
    before = _before(text, mention)
    match = _WEAK_ASSERTION.search(before)
    return (
        bool(match)
        and not _CONTINUES.match(text, mention.end)
        and _is_final_value(text, mention)
        and not _NEGATION.search(before, 0, match.start() if match else 0)
    )


def _is_final_value(text: str, mention: _Mention) -> bool:
    if _ENDS.match(text, mention.end):
        return True
    following = re.match(r"\s*([A-Za-z]+)\b", text[mention.end : mention.end + 30])
    return following is not None and parse_unit(following[1]) is not None


def _is_final_result(text: str, mentions: list[_Mention], given: str) -> bool:
    """Return True where the right-hand side of the last equation is the answer."""
    equals = list(_EQUALS.finditer(text))
    if not equals or _is_analogy(text, equals[-1].start(), given):
        return False
    # "x = 2 more than y" is a relation, "14 - 12 = 2 more apples" a result.
    computed = text[: equals[-1].start()].rstrip(" $)}").endswith(tuple("0123456789%"))
    continues = _OPERATOR if computed else _CONTINUES
    return any(
        mention.start >= equals[-1].end()
        and re.fullmatch(_UP_TO_VALUE, text[equals[-1].end() : mention.start]) is not None
        and not continues.match(text, mention.end)
        for mention in mentions
    )


def _follows_equals(text: str, mention: _Mention) -> bool:
    return re.search(rf"={_UP_TO_VALUE}", text[max(0, mention.start - 12) : mention.start]) is not None


# --- where the answer stands -------------------------------------------------------------------------------------

_NUMERAL = r"(?:\d{1,3}(?:,\d{3})+(?![\d])|\d+)(?:\.\d+)?|\.\d+"
_NUMBERS = re.compile(
    rf"\\[dt]?frac\s*\{{\s*(?P<over>\d+)\s*\}}\s*\{{\s*(?P<under>\d+)\s*\}}"
    rf"|(?<![\w.])(?<!\d,)(?P<plain>(?:{_NUMERAL})(?:\s?/\s?(?:{_NUMERAL}))?(?:\s*\\?%|\s+percent\b)?)(?![A-Za-z_\d]|\.\d)",
)
_MINUS = re.compile(r"(?:^|[^\w)\]}\s]|[^\d)\]}\s]\s)[-−]$|\b(?:minus|negative)\s+$", re.IGNORECASE)
_TIDY = re.compile(r"(?<=\d)(?:\{,\}|\\[,!]|\u202f)(?=\d{3})")
_MIN_DIGITS, _MIN_SIGNIFICANT_DIGITS = 4, 3
_MIN_EXPRESSION_LENGTH, _MIN_PHRASE_LENGTH = 6, 12
_MAX_TOKENS = 60
_LARGEST_WORDED = 1_000_000


def _tidy(text: str) -> str:
    text = text.translate(FRACTIONS)
    return _TIDY.sub(",", text) if "{,}" in text or "\\" in text or "\u202f" in text else text


@lru_cache(maxsize=4096)
def _target(ground_truth: str) -> _Target | None:
    truth = clean(ground_truth)
    if (choice := read_choice(truth)) and choice.content is None:
        return _Target(_choice_finder(choice.letter), distinctive=False)
    if (number := read_quantity(truth).number) is not None:
        distinctive = _is_distinctive_number(number.value)
        return _Target(_number_finder(number, distinctive), distinctive, number.value)
    return _Target(_text_finder(truth), _is_distinctive_text(truth)) if truth else None


@lru_cache(maxsize=4096)
def _wording(content: str) -> _Target | None:
    """Return an option's text word by word, as a target."""
    words = _tidy(plain(content)).strip().rstrip(".")
    return _Target(_text_finder(words), distinctive=False) if words else None


def _is_distinctive_number(value: Fraction) -> bool:
    """Three significant digits, or four digits that are no power of ten, seldom occur by chance: 125, 70000, 7/12."""
    digits = f"{abs(value.numerator)}{value.denominator if value.denominator > 1 else ''}"
    if value.denominator > 1 and re.fullmatch(r"10+", str(value.denominator)):
        digits = str(abs(value.numerator))
    significant = digits.rstrip("0")
    return len(significant) >= _MIN_SIGNIFICANT_DIGITS or (len(digits) >= _MIN_DIGITS and significant != "1")


def _is_distinctive_text(truth: str) -> bool:
    length = len(re.sub(r"\s", "", truth))
    return length >= (_MIN_PHRASE_LENGTH if re.fullmatch(r"[A-Za-z\s'-]+", truth) else _MIN_EXPRESSION_LENGTH)


def _choice_finder(letter: str) -> Callable[[str], Iterator[_Mention]]:
    pattern = re.compile(rf"\({letter}\)|(?<![\w\\]){letter}(?![\w'’])|\({letter.lower()}\)")
    small = re.compile(
        rf"(?i:\b(?:choose|pick|select|option|choice|letter|answer\s+is)\s+)({letter.lower()})[)*]*(?:[.,;:!\n]|$)"
    )

    def find(text: str) -> Iterator[_Mention]:
        for match in pattern.finditer(text):
            # "A" and "I" are words.
            is_word = letter in "AI" and re.match(r"\s+[a-z]", text[match.end() :]) is not None
            if not (is_word and len(match[0]) == 1):
                yield _Mention(match.start(), match.end())
        yield from (_Mention(match.start(1), match.end(1)) for match in small.finditer(text))

    return find


def _number_finder(number: PlainNumber, distinctive: bool) -> Callable[[str], Iterator[_Mention]]:
    magnitude = PlainNumber(abs(number.value), number.percent)
    negative = number.value < 0
    # "n3475" and "3475x" hide nothing.
    glued = (
        re.compile(rf"(?<=[A-Za-z_]){value}(?!\d|[.,]\d)|(?<![\d.,]){value}(?=[A-Za-z_])")
        if (distinctive and (value := number.value).denominator == 1 and value > 0)
        else None
    )
    worded = abs(number.value.numerator) <= _LARGEST_WORDED and number.value.denominator <= 4

    def find(text: str) -> Iterator[_Mention]:
        for match in _NUMBERS.finditer(text):
            found = _value(match[0])
            if found is None or not equal_numbers(found, magnitude):
                continue
            if bool(_MINUS.search(text, max(0, match.start() - 12), match.start())) == negative:
                yield _Mention(match.start(), match.end(), "/" in match[0] and number.value.denominator == 1)
        for match in NUMBER_WORDS.finditer(text) if worded else ():
            minus = bool(_MINUS.search(text, max(0, match.start() - 12), match.start()))
            if _worded_value(match[0]) == magnitude.value and minus == negative:
                yield _Mention(match.start(), match.end())
        for match in glued.finditer(text) if glued else ():
            yield _Mention(match.start(), match.end())
        for start, end, value in other_numerals(text) if not negative else ():
            if value == magnitude.value:
                yield _Mention(start, end)

    return find


@lru_cache(maxsize=16384)
def _value(numeral: str) -> PlainNumber | None:
    match = _NUMBERS.fullmatch(numeral)
    if match is None:
        return None
    if match["over"]:
        return PlainNumber(Fraction(int(match["over"]), int(match["under"]))) if int(match["under"]) else None
    return parse_plain_number(re.sub(r"\s*percent$", "%", match["plain"]))


@lru_cache(maxsize=4096)
def _worded_value(phrase: str) -> Fraction | None:
    return words_to_number(phrase)


def _text_finder(truth: str) -> Callable[[str], Iterator[_Mention]]:
    # The beginning of a long answer gives it away as well.
    tokens = re.findall(r"\\[A-Za-z]+|\w+|\S", truth)[:_MAX_TOKENS]
    between = r"(?:[\s${}]|\\[,;!]|\\(?:left|right)(?![a-z]))*"
    pieces = [r"\\[dt]?frac" if token == r"\frac" else re.escape(token) for token in tokens if token not in "{}$"]
    pattern = re.compile(rf"(?<![\w]){between.join(pieces)}(?!\w)", re.IGNORECASE)

    def find(text: str) -> Iterator[_Mention]:
        return (_Mention(match.start(), match.end()) for match in pattern.finditer(text))

    return find
