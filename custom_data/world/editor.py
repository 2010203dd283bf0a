"""Rules in place of a model that reflects: the world's models could not read what such a model is asked.

A proposed template shows none to two of the lessons that it is told of and that made a wrong student right, and asks in
some words that the world's tokenizer has.
"""

from __future__ import annotations

import random
import re

from trainers.teaching.prompts import write_reply

WORDS = (
    "Diagnose and teach.",
    "What is your plan?",
    "Solve it.",
    "Teacher:",
    "Teacher: <thinking>",
    "Teacher: <teaching>",
)
MOST_SHOWN = 2
_LESSON = re.compile(r"<lesson>\n(.*?)\n</lesson>", re.DOTALL)
_LINE = re.compile(r"^(question|approach|teaching|alone|outcome): (.*)$", re.MULTILINE)


def edit(text: str, seed: int) -> str:
    """Return an answer with a template, to the words that ask a reflecting model for one.

    Args:
        text: what such a model is asked (`trainers.prompt_search.proposals.request`).
        seed: chooses lessons and words.
    """
    rng = random.Random(f"{seed} {text}")
    told = [dict(_LINE.findall(lesson)) for lesson in _LESSON.findall(text)]
    good = [each for each in told if each.get("outcome") == "right" and each.get("alone") == "right in 0%"]
    shown = rng.sample(good, min(len(good), rng.randint(0, MOST_SHOWN)))
    before = "".join(
        f"{each['question']}\nStudent: {each['approach']}\n{WORDS[0]}\n{write_reply('', each['teaching'])}\n"
        for each in shown
    )
    return f"<template>\n{before}{{question}}\nStudent: {{approach}}\n{rng.choice(WORDS)}\n</template>"
