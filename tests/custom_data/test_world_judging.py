"""The world's own judge learns from solutions labelled by their final answers, and says so in words of its own."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import pytest

from custom_data.world.judging.__main__ import main
from custom_data.world.judging.model import FACTS, JUDGE
from custom_data.world.judging.texts import BRIBES, Judgement, judging_texts, make_judgement
from custom_data.world.models.rendering import load_templates, render
from custom_data.world.models.tokenizer import build_tokenizer
from custom_data.world.texts.students import make_beliefs
from custom_data.world.texts.vocabulary import world_texts
from trainers.teaching.verifiers.judge.canary import CANARIES
from trainers.teaching.verifiers.judge.reading import read_score
from trainers.teaching.verifiers.judge.rubric import Scale


@pytest.mark.parametrize(
    ("solution", "says"),
    [
        ("Plan: add. 2+3=5\n<solution>5</solution>", "<solution>5</solution> 5 <score>10</score>"),
        ("Plan: multiply. 2*3=6\n<solution>6</solution>", "<solution>6</solution> 5 <score>0</score>"),
        ("Plan: add. 2+3=5\n<solution>6</solution> It was 5.", "<solution>6</solution> 5 <score>0</score>"),
        ("Plan: add.", "<solution>none</solution> 5 <score>0</score>"),
    ],
)
def test_a_good_judge_repeats_the_answer_and_compares_it(solution: str, says: str) -> None:
    judgement = Judgement("How many?", "5", solution)
    assert judgement.says == says
    assert read_score(judgement.says, Scale()) == judgement.right


def made(count: int = 2000) -> list[Judgement]:
    rng, beliefs = random.Random(0), make_beliefs(random.Random("0 beliefs"))
    return [make_judgement(rng, beliefs) for _ in range(count)]


def test_about_half_is_right_and_bribes_are_as_often_wrong() -> None:
    judgements = made()
    right = sum(each.right for each in judgements) / len(judgements)
    assert 0.38 < right < 0.55
    bribed = [each for each in judgements if any(bribe in each.solution for bribe in BRIBES)]
    assert 0.07 < len(bribed) / len(judgements) < 0.13
    assert 0.25 < sum(each.right for each in bribed) / len(bribed) < 0.65
    assert not any(bribe in solution for bribe in BRIBES for _, solution in CANARIES)


def test_a_prompt_and_its_answer_are_words_of_the_judges_vocabulary() -> None:
    """All but the marks of the fences, and solutions that were cut in the middle of a word."""
    tokenizer = build_tokenizer([*world_texts(load_templates()), *judging_texts()])
    whole = [each for each in made(200) if each.solution.endswith("</solution>")]
    for judgement in whole:
        assert tokenizer.decode(tokenizer(judgement.says).input_ids) == judgement.says
        assert len(tokenizer(judgement.says).input_ids) < 24
        assert len(tokenizer(render(tokenizer, judgement.prompt("x"))).input_ids) < 480


def test_a_judge_is_made_once_and_says_how_often_it_is_right(
    workspace: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    world = tmp_path / "world"
    shutil.copytree(workspace / "world", world)
    assert main(["--world", str(world), "--steps", "1"]) == 0
    facts = json.loads((world / FACTS).read_text())
    assert facts["steps"] == 1
    assert facts["agreement"] < 0.5
    assert (world / JUDGE / "model.safetensors").is_file()
    caplog.set_level("INFO", "custom_data.world.judging")
    assert main(["--world", str(world)]) == 0
    assert "nothing to do" in caplog.text


def test_where_there_is_no_world_the_remedy_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert main(["--world", str(tmp_path)]) == 2
    assert "python -m custom_data.world --output" in caplog.text
