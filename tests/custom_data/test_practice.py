"""The teacher's base practises comparing plans until it can, and says so where it never does."""

import random
from itertools import pairwise

import pytest

from custom_data.world.models import practice
from custom_data.world.models.architecture import new_model
from custom_data.world.models.measurement import compare_plans
from custom_data.world.models.practice import COMPARISONS, ROUNDS, practise_comparing
from custom_data.world.models.preparation import Recipe
from custom_data.world.models.rendering import load_templates
from custom_data.world.models.tokenizer import build_tokenizer
from custom_data.world.texts.comparisons import comparison_example, make_comparison, pairs
from custom_data.world.texts.stories import HELD_OUT, balanced_questions
from custom_data.world.texts.vocabulary import world_texts

QUESTIONS = balanced_questions(random.Random(0), 9, HELD_OUT)


@pytest.fixture(scope="module")
def templates():
    return load_templates()


@pytest.fixture(scope="module")
def tokenizer(templates):
    return build_tokenizer(world_texts(templates))


def test_a_comparison_says_whether_the_two_plans_are_one():
    assert len(pairs()) == 9
    assert comparison_example("", "add", "add").says == "It fits."
    example = comparison_example("A story.", "add", "multiply")
    assert example.question == "A story.\nNeeded: multiply. Student: add."
    assert example.says == "It does not fit."


def test_half_of_the_comparisons_are_of_equal_plans_and_most_stand_below_a_story():
    rng = random.Random(1)
    examples = [make_comparison(rng) for _ in range(4000)]
    assert sum(example.says == "It fits." for example in examples) / 4000 == pytest.approx(0.5, abs=0.04)
    assert sum("\n" in example.question for example in examples) / 4000 == pytest.approx(0.75, abs=0.04)


@pytest.mark.parametrize(("shares", "rounds"), [((1.0,), 1), ((0.4, 0.9, 1.0), 3), ((0.4, 1.0), 2)])
def test_practice_goes_on_until_every_verdict_is_right(monkeypatch, caplog, tokenizer, templates, shares, rounds):
    found, practised = iter(shares), []
    monkeypatch.setattr(practice, "compare_plans", lambda *_: next(found))
    monkeypatch.setattr(practice, "prepare", lambda model, pairs, *_: practised.append(pairs))
    assert practise_comparing(None, tokenizer, templates, QUESTIONS, Recipe(steps=2, batch_size=3), 0) == 1
    assert [len(examples) for examples in practised] == [6] * rounds
    assert all(one != other for one, other in pairwise(practised))
    assert "cannot compare" not in caplog.text


def test_a_base_that_never_learns_it_is_told_of(monkeypatch, caplog, tokenizer, templates):
    practised = []
    monkeypatch.setattr(practice, "compare_plans", lambda *_: 0.7)
    monkeypatch.setattr(practice, "prepare", lambda *arguments: practised.append(arguments))
    assert practise_comparing(None, tokenizer, templates, QUESTIONS, Recipe(steps=1), 0) == 0.7
    assert len(practised) == ROUNDS
    assert "the teacher's base cannot compare plans" in caplog.text


@pytest.mark.slow
def test_a_model_learns_to_compare_plans_below_stories_that_it_has_not_seen(tokenizer, templates):
    model = new_model(tokenizer, 0)
    tokenizer.padding_side = "left"
    assert compare_plans(model, tokenizer, templates, QUESTIONS) < 0.5
    assert practise_comparing(model, tokenizer, templates, QUESTIONS, COMPARISONS, 0) == 1
