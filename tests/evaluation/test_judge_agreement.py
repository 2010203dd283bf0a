"""The honesty of a judge: its agreement with people, and its biases, found where they were built in."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import numpy as np
import pytest

from trainers.confidence_intervals import bootstrap_mean
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


def test_every_figure_by_hand():
    """Four solutions to two questions, each as (length, label, score), the pass mark at 0.5.

    | question | solutions | agree | errors | log2 of the length, less its mean 2 | error less its mean -1/12 |
    |---|---|---|---|---|---|
    | q0 | (2, 1, 0.5), (8, 0, 0.5) | yes, no | -1/2, 1/2 | -1, 1 | -5/12, 7/12 |
    | q1 | (4, 0.5, 0.25), (4, 1, none) | no | -1/4 | 0 | -1/6 |

    Errors grow by (5/12 + 7/12 + 0) / (1 + 1 + 0) with each doubling. In the pairs of q0 the first place is worth 0.3
    and 0.1, in that of q1 -0.1.
    """
    judged = [
        Judged(labelled(0, 1.0, 2), 0.5),
        Judged(labelled(0, 0.0, 8), 0.5),
        Judged(labelled(1, 0.5, 4), 0.25),
        Judged(labelled(1, 1.0, 4), None),
    ]
    pairs = [
        JudgedPair("q0", (0.8, 0.5), (0.5, 0.2)),
        JudgedPair("q0", (0.8, 0.3), (0.7, 0.2)),
        JudgedPair("q1", (0.2, 0.3), (0.3, 0.4)),
    ]
    found = figures(judged, pairs, 0.5)
    means = {name: estimate.mean for name, estimate in found.items()}
    assert means == pytest.approx(
        {"agreement": 1 / 4, "error": -1 / 8, "absolute_error": 3 / 8, "length_bias": 1 / 2, "position_bias": 0.05}
    )
    counts = {name: estimate.n for name, estimate in found.items()}
    assert counts == {"agreement": 2, "error": 2, "absolute_error": 2, "length_bias": 1, "position_bias": 2}
    assert found["agreement"] == bootstrap_mean([[1.0, 0.0], [0.0, np.nan]])


def test_where_all_questions_agree_a_figure_reaches_for_its_bounds():
    judged = [Judged(labelled(row, 0.25, 8), 0.5) for row in range(20)]
    found = figures(judged, [JudgedPair(f"q{row}", (0.5, 0.5), (0.5, 0.5)) for row in range(20)], 0.75)
    reached = {name: (estimate.low, estimate.mean, estimate.high) for name, estimate in found.items()}
    # 20 questions alike leave 17% of others unseen.
    unseen = 1 - 0.025 ** (1 / 20)
    assert reached == {
        "agreement": pytest.approx((1 - unseen, 1, 1)),
        "error": pytest.approx((0.25 - 1.25 * unseen, 0.25, 0.25 + 0.75 * unseen)),
        "absolute_error": pytest.approx((0.25 - 0.25 * unseen, 0.25, 0.25 + 0.75 * unseen)),
        "position_bias": pytest.approx((-unseen, 0, unseen)),
    }


def test_an_empty_solution_is_as_long_as_one_letter():
    def bias(shortest: int) -> float:
        judged = [Judged(labelled(row, 0.5, length), 0.5 + length / 100) for row, length in enumerate((shortest, 4))]
        return figures(judged, [], 0.5)["length_bias"].mean

    assert bias(1) == pytest.approx(0.03 / 2)
    assert bias(0) == pytest.approx(0.04 / 2)


def test_nothing_that_was_judged_has_no_figures():
    assert figures([], [], 0.5) == figures([Judged(labelled(0, 1.0, 2), None)], [], 0.5) == {}


def test_so_many_pairs_are_shown_and_no_more():
    made = [labelled(0, 1, length) for length in range(1, 400)]
    assert neighbours(made) == [(made[number], made[number + 1]) for number in range(200)]


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
