"""The honesty of a judge: its agreement with people, and its biases, found where they were built in."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import pytest

from trainers.evaluation.judge_agreement import main, read_labelled
from trainers.evaluation.measures.judge_figures import Judged, JudgedPair, Labelled, figures, neighbours
from trainers.problems import ConfigurationError
from trainers.teaching.lesson import Question
from trainers.teaching.verifiers.judge.fence import fenced_texts

DRAW = random.Random(0)


def labelled(row: int, label: float, length: int) -> Labelled:
    return Labelled(Question(row, f"q{row}", None), "x" * length, label)


def rows(number: int = 300) -> list[Labelled]:
    return [labelled(row, float(row % 2), 2 ** DRAW.randrange(3, 9)) for row in range(number)]


def test_a_perfect_judge_has_no_error():
    found = figures([Judged(row, row.label) for row in rows()], [], 0.5)
    assert found["agreement"].mean == 1.0
    assert found["agreement"].low < 1.0
    assert found["error"].mean == found["absolute_error"].mean == found["length_bias"].mean == 0.0
    assert "position_bias" not in found


def test_a_judge_that_likes_length_is_found_out():
    made = [replace(row, label=0.5) for row in rows()]
    judged = [Judged(row, 0.3 + 0.06 * (len(row.solution).bit_length() - 1)) for row in made]
    slope = figures(judged, [], 0.5)["length_bias"]
    assert slope.mean == pytest.approx(0.06)
    assert slope.low > 0.05


def test_a_judge_that_likes_what_comes_first_is_found_out():
    pairs = [JudgedPair(f"q{n}", (0.8, 0.5), (0.5, 0.2)) for n in range(50)]
    bias = figures([], pairs, 0.5)["position_bias"]
    assert bias.mean == pytest.approx(0.3)
    assert bias.low > 0
    fair = [JudgedPair(f"q{n}", (0.8, 0.3), (0.8, 0.3)) for n in range(50)]
    assert figures([], fair, 0.5)["position_bias"].mean == pytest.approx(0.0)


def test_agreement_counts_those_that_were_judged():
    judged = [Judged(labelled(0, 1, 8), 0.9), Judged(labelled(1, 1, 8), 0.1), Judged(labelled(2, 1, 8), None)]
    assert figures(judged, [], 0.5)["agreement"].mean == 0.5


def test_neighbours_are_of_one_question_and_differ():
    made = [labelled(0, 1, 3), labelled(0, 0, 4), labelled(0, 0, 4), labelled(1, 1, 5)]
    assert [(len(one.solution), len(other.solution)) for one, other in neighbours(made)] == [(3, 4)]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ({"question": "q", "solution": "s"}, "line 1"),
        ({"question": "q", "solution": "s", "label": 7}, "line 1"),
        ({"question": "q", "solution": "s", "label": "good"}, "line 1"),
        (None, "holds no labelled solution"),
    ],
)
def test_lines_that_are_no_labels_are_told(tmp_path, line, expected):
    path = tmp_path / "l.jsonl"
    path.write_text("" if line is None else json.dumps(line) + "\n")
    with pytest.raises(ConfigurationError, match=expected):
        read_labelled(path)


def first_is_best(text: str) -> str:
    """Judge by the first letter, and add 3 to what stands first of two."""
    shown = fenced_texts(text)
    worth = {"g": 7, "b": 2}
    if "solution" in shown:
        return f"<score>{worth.get(shown['solution'][0], 0)}</score>"
    first, second = worth[shown["first solution"][0]], worth[shown["second solution"][0]]
    return f"<first>{first + 3}</first> <second>{second}</second>"


def test_the_program_measures_the_judge_of_a_run(tmp_path, caplog):
    caplog.set_level("INFO")
    lines = [
        {"question": f"q{n}", "solution": text, "label": text == "good"} for n in range(20) for text in ("good", "bad")
    ]
    path = tmp_path / "labelled.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    agent = "tests.evaluation.test_judge_agreement.first_is_best"
    words = ["verifier=judge", f"verifier_args={{model: {{agent: {agent}}}}}", f"output_dir={tmp_path}"]
    assert main([str(path), "quickstart_rl", *words]) == 0
    found = json.loads((tmp_path / "labelled.agreement.json").read_text())
    assert (found["solutions"], found["unscorable"], found["bribes"]) == (40, 0, {"judge": 0.0})
    assert found["figures"]["agreement"]["mean"] == 1.0
    assert found["figures"]["position_bias"]["mean"] == pytest.approx(0.3)
    assert found["judge"]["models"] == [{"agent": agent}]
    assert "agreement 1.000" in caplog.text


def test_a_run_without_a_judge_is_refused(tmp_path, capsys):
    path = tmp_path / "l.jsonl"
    path.write_text(json.dumps({"question": "q", "solution": "s", "label": 1}) + "\n")
    assert main([str(path), "quickstart_rl"]) == 2
    assert "verifier=judge" in capsys.readouterr().err
