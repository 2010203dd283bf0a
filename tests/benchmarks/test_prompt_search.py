"""The search for a prompt of the untrained teacher."""

import random
from itertools import pairwise

from scripts.benchmarks.learning.prompt_search import INSTRUCTIONS, SETS, SHOWN, candidates, right_lessons, table

TRAIN = [
    {"question": "Ana packs 9 boxes with 3 hens each. How many hens are packed?", "plan": "multiply"},
    {"question": "Ben had 9 hens and lost 3. How many hens are left?", "plan": "subtract"},
]


def _example(question: str, needed: str, teaching: str) -> dict[str, str]:
    diagnosis = f"Needed: {needed}. Student: add. It does not fit."
    return {
        "problem_text": question,
        "student_approach": "Plan: add.",
        "teacher_diagnosis": diagnosis,
        "teacher_teaching": teaching,
    }


def test_lessons_with_a_wrong_diagnosis_a_stated_answer_or_of_an_unknown_kind_are_not_shown():
    examples = [
        _example("Cora packs 4 boxes with 2 goats each. How many goats are packed?", "multiply", "Multiply."),
        _example("Cora packs 4 boxes with 2 goats each. How many goats are packed?", "subtract", "Subtract."),
        _example("Cora had 4 goats and lost 2. How many goats are left?", "subtract", "The answer is 2."),
        _example("Cora wants 4 goats and holds 2. How many goats are missing?", "subtract", "Subtract."),
    ]
    [shown] = right_lessons(examples, TRAIN)
    assert shown.startswith("Cora packs 4 boxes")
    assert shown.endswith("It does not fit.</thinking><teaching>Multiply.</teaching>\n")


def test_every_instruction_is_tried_alone_and_behind_the_same_lessons():
    lessons = [f"lesson {number}\n" for number in range(1000)]
    found = list(candidates(lessons, random.Random(1)))
    assert len(found) == len(set(found)) == len(INSTRUCTIONS) * (1 + SETS * (len(SHOWN) - 1))
    assert {text.count("lesson") for text in found} == set(SHOWN)
    assert all(text.count("{question}") == text.count("{approach}") == 1 for text in found)
    behind = [text.partition("{question}")[0] for text in found]
    sets = [behind[at : at + len(INSTRUCTIONS)] for at in range(0, len(behind), len(INSTRUCTIONS))]
    assert all(len(set(each)) == 1 for each in sets)
    assert all(a != b for a, b in pairwise(sets))


def test_the_table_has_all_seeds_together_and_each():
    each = {"template": "a<teaching>b\n{question}\nTeacher: <teaching>", "tried": 78, "in_search": 0.5}
    found = table({0: each | {"right": [[1.0, 0.0]] * 4}, 1: each | {"right": [[1.0, 1.0]] * 4}})
    assert [row[0] for row in found.rows] == ["all seeds", "seed 0, best of 78", "seed 1, best of 78"]
    assert [row[1].split()[0] for row in found.rows] == ["75.0%", "50.0%", "100.0%"]
    assert [row[2:] for row in found.rows] == [("", ""), ("50.0%", "1"), ("50.0%", "1")]
