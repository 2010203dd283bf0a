"""Models practise what their world rests on until they can, and a world says so where they never do."""

import random
from itertools import pairwise

import pytest

from custom_data.world.models import practice
from custom_data.world.models.architecture import new_model
from custom_data.world.models.practice import Practice, Trainee, practise_comparing, practise_rule
from custom_data.world.models.preparation import Recipe
from custom_data.world.texts.comparisons import comparison_example, make_comparison, pairs
from custom_data.world.texts.stories import HELD_OUT, balanced_questions
from custom_data.world.texts.students import make_beliefs

FEW = Practice(rounds=3, rule=Recipe(steps=2, batch_size=4), comparisons=Recipe(steps=2, batch_size=3))
QUESTIONS = balanced_questions(random.Random(0), 9, HELD_OUT)


@pytest.fixture
def trainee(tokenizer, templates):
    """No model: nothing is trained."""
    return Trainee(None, tokenizer, templates, QUESTIONS)


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


@pytest.fixture
def rounds(monkeypatch):
    """The examples of each round of training, none of which is done."""
    practised = []
    monkeypatch.setattr(practice, "prepare", lambda model, examples, *_: practised.append(examples))
    return practised


@pytest.mark.parametrize(("shares", "count"), [((1.0,), 0), ((0.0, 1.0), 1), ((0.0, 0.4, 0.9, 1.0), 3)])
def test_plans_are_compared_until_every_verdict_is_right(monkeypatch, caplog, rounds, trainee, shares, count):
    found = iter(shares)
    monkeypatch.setattr(practice, "compare_plans", lambda *_: next(found))
    assert practise_comparing(trainee, FEW, 0) == 1
    assert [len(examples) for examples in rounds] == [6] * count
    assert all(one != other for one, other in pairwise(rounds))
    assert "cannot compare" not in caplog.text


def test_a_base_that_never_learns_to_compare_is_told_of(monkeypatch, caplog, rounds, trainee):
    monkeypatch.setattr(practice, "compare_plans", lambda *_: 0.7)
    assert practise_comparing(trainee, FEW, 0) == 0.7
    assert len(rounds) == FEW.rounds
    assert "the teacher's base cannot compare plans" in caplog.text


@pytest.mark.parametrize(
    ("rules", "count"),
    [
        (({"Mara": 0.99, "Nils": 0.98},), 0),
        (({"Mara": 0.97, "Nils": 0.98}, {"Mara": 1.0, "Nils": 0.98}), 1),
        (({"Mara": 1.0, "Nils": 0.94}, {"Mara": 1.0, "Nils": 0.97}), 1),
    ],
)
def test_the_rule_is_practised_until_all_and_each_keep_it(monkeypatch, caplog, rounds, trainee, rules, count):
    found = iter(rules)
    monkeypatch.setattr(practice, "measure", lambda *_: {name: {"rule": rule} for name, rule in next(found).items()})
    figures = practise_rule(trainee, make_beliefs(random.Random(0)), FEW, 0)
    assert {name: student["rule"] for name, student in figures.items()} == rules[-1]
    assert [len(examples) for examples in rounds] == [8] * count
    assert "keep their rule badly" not in caplog.text


def test_students_that_never_keep_their_rule_are_told_of(monkeypatch, caplog, rounds, trainee):
    monkeypatch.setattr(practice, "measure", lambda *_: {"Mara": {"rule": 0.5}})
    practise_rule(trainee, make_beliefs(random.Random(0)), FEW, 0)
    assert len(rounds) == FEW.rounds
    assert "the students keep their rule badly" in caplog.text


def test_a_world_without_rounds_practises_nothing_and_warns_of_nothing(monkeypatch, caplog, rounds, trainee):
    monkeypatch.setattr(practice, "compare_plans", lambda *_: 0.0)
    assert practise_comparing(trainee, Practice(rounds=0), 0) == 0
    assert rounds == []
    assert caplog.text == ""


@pytest.mark.slow
def test_a_model_learns_to_compare_plans_below_stories_that_it_has_not_seen(tokenizer, templates):
    tokenizer.padding_side = "left"
    teacher = Trainee(new_model(tokenizer, 0), tokenizer, templates, QUESTIONS)
    assert practise_comparing(teacher, Practice(rounds=0), 0) < 0.5
    assert practise_comparing(teacher, Practice(), 0) == 1
