"""The hub's most used sets, in small files of their published layout, are read by their recipes."""

import asyncio
import base64
import csv
import json
import pickle
import zlib

import pytest
from datasets import Dataset

from custom_data import loading
from custom_data.rows.choices import ASKED
from custom_data.rows.code_questions import BEGINS, READS_AND_PRINTS
from custom_data.tables.questions import Questions
from tests.support.data_configs import write_rows
from trainers.configuration import ConfigurationError, compose
from trainers.configuration.devices.machine import Machine
from trainers.teaching.verifiers import build_verifier

ARC = {
    "id": "Mercury_7175875",
    "question": "Which is a liquid at room temperature?",
    "choices": {"text": ["iron", "water", "oxygen", "salt"], "label": ["A", "B", "C", "D"]},
    "answerKey": "B",
}
NUMBERED = {**ARC, "id": "2", "question": "Which melts?", "answerKey": "3"}
NUMBERED["choices"] = {"text": ["air", "fire", "ice"], "label": ["1", "2", "3"]}
MMLU = {"question": "2 + 2 = ?", "subject": "elementary_mathematics", "choices": ["3", "4", "5", "1"], "answer": 1}
GPQA = {
    "Pre-Revision Question": "Old?",
    "Question": "Which particle carries the electromagnetic force?",
    "Correct Answer": "photon",
    "Incorrect Answer 1": "gluon",
    "Incorrect Answer 2": "W boson",
    "Incorrect Answer 3": "graviton",
    "Subdomain": "Physics (general)",
    "Canary String": "none",
}
MATH = {"problem": "What is $1+1$?", "level": "Level 1", "type": "Algebra", "solution": r"It is $\boxed{2}$."}
NUMINA = {
    "problem": "What is $3+4$?",
    "solution": "So 7.",
    "answer": "7",
    "problem_type": "Algebra",
    "question_type": "math-word-problem",
    "source": "olympiads",
    "synthetic": False,
}
DEEPSCALER = {"problem": "What is $2^3$?", "answer": "8", "solution": "Multiply."}
BIG_MATH = {"prompt": "What is 5 + 5?", "solution": "10", "source": "orca_math", "domain": ["Arithmetic"]}
GSM8K = {"question": "How many is 2 and 3?", "answer": "2+3=<<2+3=5>>5\n#### 5"}
HUMANEVAL = {
    "task_id": "HumanEval/0",
    "prompt": "def one():\n",
    "canonical_solution": "    return 1\n",
    "test": "def check(candidate):\n    assert candidate() == 1\n",
    "entry_point": "one",
}
MBPP = {
    "task_id": 601,
    "text": "Write a function to double a number.",
    "code": "def double(x):\r\n  return 2 * x",
    "test_list": ["assert double(2) == 4", "assert double(0) == 0"],
    "test_setup_code": "",
    "challenge_test_list": [],
}
APPS = {
    "problem_id": 0,
    "question": "You are given $n$ numbers.\n\n-----Input-----\n\nThe first line contains $n$.\n",
    "solutions": json.dumps(["input()\nprint(sum(map(int, input().split())))"]),
    "input_output": json.dumps({"inputs": ["2\n1 2\n", "1\n5\n"], "outputs": ["3\n", "5\n"]}),
    "difficulty": "interview",
    "url": "https://example.org/0",
    "starter_code": "",
}
APPS_CALLED = APPS | {
    "problem_id": 1,
    "question": "Double a number.",
    "input_output": json.dumps({"fn_name": "double", "inputs": [[2], [0]], "outputs": [[4], [0]]}),
    "starter_code": "def double(x):\n\t",
}
APPS_UNTESTED = APPS | {"problem_id": 2, "question": "Untested.", "input_output": ""}


def packed(cases):
    return base64.b64encode(zlib.compress(pickle.dumps(json.dumps(cases)))).decode()


LIVECODEBENCH = {
    "question_title": "A. Sum",
    "question_content": "Add two numbers.",
    "platform": "atcoder",
    "question_id": "abc000_a",
    "contest_id": "abc000",
    "contest_date": "2024-01-01T00:00:00",
    "starter_code": "",
    "difficulty": "easy",
    "public_test_cases": json.dumps([{"input": "1 2\n", "output": "3\n", "testtype": "stdin"}]),
    "private_test_cases": packed([{"input": "5 6\n", "output": "11\n", "testtype": "stdin"}]),
    "metadata": "{}",
}
LIVECODEBENCH_CALLED = LIVECODEBENCH | {
    "question_content": "Return the k-th largest.",
    "platform": "leetcode",
    "starter_code": "class Solution:\n    def kth(self, xs: List[int], k: int) -> int:\n        ",
    "public_test_cases": json.dumps([{"input": "[1, 5, 3]\n1", "output": "5", "testtype": "functional"}]),
    "private_test_cases": packed([{"input": "[1, 5, 3]\n2", "output": "3", "testtype": "functional"}]),
    "metadata": json.dumps({"func_name": "kth"}),
}


def of_choices(question, *choices):
    lines = [f"({letter}) {text}" for letter, text in zip("ABCDE", choices, strict=False)]
    return "\n".join([question, "", *lines, "", ASKED])


ARC_ASKED = of_choices(ARC["question"], "iron", "water", "oxygen", "salt")
DOUBLED = "Write a function to double a number.\n\nIt has to pass this test and others:\nassert double(2) == 4"

APPS_ASKED = f"{APPS['question'].rstrip()}\n\n{READS_AND_PRINTS}"
STARTED = (
    f"Return the k-th largest.\n\n{BEGINS}\nclass Solution:\n    def kth(self, xs: List[int], k: int) -> int:\n        "
)

SETS = {
    "arc_challenge": (
        "ARC-Challenge",
        [ARC, NUMBERED],
        [(ARC_ASKED, "B"), (of_choices("Which melts?", *("air", "fire", "ice")), "C")],
    ),
    "mmlu": ("all", [MMLU], [(of_choices("2 + 2 = ?", *MMLU["choices"]), "B")]),
    "math": (None, [MATH], [("What is $1+1$?", "2")]),
    "numina_math": (None, [NUMINA, {**NUMINA, "question_type": "proof", "answer": "proof"}], [("What is $3+4$?", "7")]),
    "deepscaler": (None, [DEEPSCALER], [("What is $2^3$?", "8")]),
    "big_math_rl": ("level_4_5", [BIG_MATH], [("What is 5 + 5?", "10")]),
    "gsm8k": ("main", [GSM8K], [("How many is 2 and 3?", "5")]),
    "humaneval": (None, [HUMANEVAL], [("def one():\n", None)]),
    "mbpp": ("full", [MBPP], [(DOUBLED, None)]),
    "apps": (
        None,
        [APPS, APPS_CALLED],
        [(APPS_ASKED, None), (f"Double a number.\n\n{BEGINS}\ndef double(x):\n\t", None)],
    ),
    "livecodebench": (
        None,
        [LIVECODEBENCH, LIVECODEBENCH_CALLED],
        [(f"Add two numbers.\n\n{READS_AND_PRINTS}", None), (STARTED, None)],
    ),
}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))


def composed(recipe, *overrides):
    return compose(["evaluate", f"data={recipe}", *overrides], Machine()).config


def published(directory, recipe, configuration, file):
    """A directory as the hub lays it out: named like the set, with a card where it has configurations."""
    config = composed(recipe)
    path = directory / config.data.dataset_id_or_path.rpartition("/")[2]
    path.mkdir()
    name, split = f"{config.data.dataset_split}-00000.{file}", config.data.dataset_split
    if configuration:
        listed = (
            f"- config_name: {configuration}\n  data_files:\n  - split: {split}\n    path: {configuration}/{name}\n"
        )
        other = "- config_name: another\n  data_files: none/*.parquet\n"
        (path / "README.md").write_text(f"---\nconfigs:\n{listed}{other}---\n", encoding="utf-8")
    target = path / (configuration or "data") / name
    target.parent.mkdir()
    return path, target


def questions(recipe, path):
    return list(Questions(loading.load(composed(recipe, f"dataset_id_or_path={path}")).evaluation))


@pytest.mark.parametrize("file", ["parquet", "jsonl"])
@pytest.mark.parametrize("recipe", SETS)
def test_a_set_is_read_by_its_recipe(tmp_path, recipe, file):
    configuration, rows, expected = SETS[recipe]
    path, target = published(tmp_path, recipe, configuration, file)
    if file == "parquet":
        Dataset.from_list(rows).to_parquet(target)
    else:
        write_rows(target, rows)
    assert [(question.text, question.ground_truth) for question in questions(recipe, path)] == expected


def test_gpqa_is_read_from_its_csv_and_asked_in_an_order_of_its_own(tmp_path):
    path, target = published(tmp_path, "gpqa", "gpqa_diamond", "csv")
    rows = [{**GPQA, "Question": f"{number}: {GPQA['Question']}"} for number in range(12)]
    with target.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(GPQA))
        writer.writeheader()
        writer.writerows(rows)
    found = questions("gpqa", path)
    assert len({question.ground_truth for question in found}) > 1
    for number, question in enumerate(found):
        assert question.text.startswith(f"{number}: Which particle")
        assert f"({question.ground_truth}) photon\n" in question.text
        assert "Old?" not in question.text


def test_the_tests_of_code_travel_with_the_question(tmp_path):
    path, target = published(tmp_path, "mbpp", "full", "jsonl")
    write_rows(target, [MBPP])
    [question] = questions("mbpp", path)
    assert question.extra == json.loads(json.dumps(MBPP))


RIGHT_AND_WRONG = {
    "apps": [
        ("input()\nprint(sum(map(int, input().split())))", "print(3)"),
        ("def double(x):\n\treturn 2 * x", "def double(x):\n\treturn 4"),
    ],
    "livecodebench": [
        ("print(sum(map(int, input().split())))", "input()\nprint(3)"),
        (
            "class Solution:\n    def kth(self, xs: List[int], k: int) -> int:\n        return nlargest(k, xs)[-1]",
            "class Solution:\n    def kth(self, xs, k):\n        return 5",
        ),
    ],
}


@pytest.mark.parametrize("recipe", RIGHT_AND_WRONG)
def test_programs_and_functions_are_judged_by_all_pairs_of_input_and_output(tmp_path, recipe):
    configuration, rows, _ = SETS[recipe]
    path, target = published(tmp_path, recipe, configuration, "jsonl")
    write_rows(target, rows)
    verifier = build_verifier("code", timeout_s=2)
    try:
        for question, answers in zip(questions(recipe, path), RIGHT_AND_WRONG[recipe], strict=True):
            verdicts = [asyncio.run(verifier.verify(f"```python\n{code}\n```", question)) for code in answers]
            assert [verdict.correct for verdict in verdicts] == [True, False]
    finally:
        verifier.close()


def test_a_set_that_a_script_reads_is_refused_with_the_way_to_read_it(tmp_path):
    path, target = published(tmp_path, "apps", None, "jsonl")
    write_rows(target, [APPS])
    (path / "apps.py").write_text("")
    with pytest.raises(ConfigurationError, match="no longer runs scripts") as refused:
        questions("apps", path)
    assert "train.jsonl" in str(refused.value)
    assert len(questions("apps", target)) == 1


def test_problems_without_tests_are_told(tmp_path):
    path, target = published(tmp_path, "apps", None, "jsonl")
    write_rows(target, [APPS, APPS_UNTESTED])
    config = composed("apps", f"dataset_id_or_path={path}", "max_bad_row_ratio=0.5")
    assert loading.load(config).evaluation.reading.lines()[1:] == ["  dropped 1 row: no tests (line 2)"]
