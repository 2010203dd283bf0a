"""Which questions a run asks, when it ends and by what it is judged: what composes, and what is refused."""

from __future__ import annotations

import pytest

from trainers.configuration import ConfigurationError, compose
from trainers.configuration.devices.machine import Machine, assume
from trainers.configuration.settings.keys import keys_of
from trainers.launch.estimates.steps_and_tokens import at_most
from trainers.teacher_grpo import build_curriculum

GPUS = Machine(tuple(range(8)))
POOL = "students={small: {temperature: 0.2}, large: {temperature: 0.9}}"
HELD_OUT = "heldout_students={x: {temperature: 0.3}, y: {temperature: 0.4}}"


def composed(*words: str):
    return compose(["teacher_rcl", *words], assume(8), 4, 4).config


def problem(*words: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        composed(*words)
    return str(caught.value)


def test_nothing_is_replaced_unless_asked_for():
    assert build_curriculum(composed()).replaces is False
    assert build_curriculum(composed("dynamic_sampling=true")).most == 3
    chosen = build_curriculum(composed("dynamic_sampling=true", "max_sampled_groups=1.5", "question_order=difficulty"))
    assert (chosen.question_order, chosen.most) == ("difficulty", 1.5)


def test_replacements_count_among_the_most_tokens_of_a_step():
    plain, more = (at_most(composed(*words)) for words in ((), ("dynamic_sampling=true", "max_sampled_groups=2")))
    assert plain != more
    assert f"{2 * 128 * 4096:,} by the teacher" in more


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("dynamic_sampling=true", "max_sampled_groups=1"), "expected a number > 1"),
        (("max_sampled_groups=2",), "has no effect without dynamic_sampling"),
        (("question_order=hard",), "expected one of random, difficulty"),
        (("question_order=difficulty", "shuffle_dataset=false"), "these are two orders"),
        (("dynamic_sampling=true", "log_completions=true"), "not those asked"),
        (("question_order=difficulty", "log_completions=true"), "not those asked"),
    ],
)
def test_what_cannot_be_is_refused(words: tuple[str, ...], said: str):
    assert said in problem(*words)


@pytest.mark.parametrize(
    ("metric", "better"),
    [
        ("teaching/accuracy_gain", True),
        ("teaching/by_student/large/accuracy_gain", True),
        ("eval_teaching/by_student/small/leak_rate", False),
    ],
)
def test_models_are_judged_by_a_metric_of_one_student_of_a_pool(metric: str, better: bool):
    config = composed(POOL, "load_best_model_at_end=true", f"metric_for_best_model={metric}")
    assert (config.trainer.metric_for_best_model, config.trainer.greater_is_better) == (metric, better)


def test_only_students_that_evaluations_ask_can_be_judged_by():
    words = (POOL, HELD_OUT, "load_best_model_at_end=true")
    assert composed(*words, "metric_for_best_model=teaching/by_student/y/fix_rate").trainer.greater_is_better
    said = problem(*words, "metric_for_best_model=teaching/by_student/small/fix_rate")
    assert "no evaluation of this run returns it" in said
    assert "eval_teaching/fix_rate" in said
    alone = problem("load_best_model_at_end=true", "metric_for_best_model=teaching/by_student/student/fix_rate")
    assert "no evaluation of this run returns it" in alone


def test_patience_alone_judges_by_the_reward():
    config = composed("early_stopping_patience=3")
    assert (config.trainer.metric_for_best_model, config.trainer.greater_is_better) == ("eval_reward", True)
    assert composed().trainer.metric_for_best_model is None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("early_stopping_patience=0",), "expected a number >= 1"),
        (("early_stopping_patience=2", "eval_strategy=no"), "eval_strategy=no has none"),
        (("early_stopping_patience=2", "max_steps=4"), "there is none in max_steps=4"),
        (("early_stopping_threshold=0.1",), "has no effect without early_stopping_patience"),
        (("early_stopping_patience=2", "metric_for_best_model=loss"), "no evaluation of this run returns it"),
    ],
)
def test_patience_that_would_never_end_a_run_is_refused(words: tuple[str, ...], said: str):
    assert said in problem(*words)


def other_than_default(name: str, experiment: str) -> str:
    key = keys_of(experiment)[name]
    if isinstance(key.default, bool):
        return str(not key.default).lower()
    if key.choices:
        return next(choice for choice in key.choices if choice != key.default)
    return {"label_smoothing_factor": "0.1", "label_names": "[a]", "include_for_metrics": "[loss]"}.get(
        name, "true" if "bool" in str(key.annotation) else "7" if "int" in str(key.annotation) else "other"
    )


FIXED = [
    (recipe, name)
    for recipe, experiment in (("teacher_rcl", "teacher_grpo"), ("teacher_sft", "sft"))
    for name, key in keys_of(experiment).items()
    if key.facts.fixed
]


@pytest.mark.parametrize(("recipe", "name"), FIXED)
def test_keys_of_trl_that_cannot_work_are_refused_with_the_reason(recipe: str, name: str):
    experiment = "sft" if recipe == "teacher_sft" else "teacher_grpo"
    with pytest.raises(ConfigurationError) as caught:
        compose([recipe, f"{name}={other_than_default(name, experiment)}"], GPUS, 4, 4)
    assert f"cannot work here: {keys_of(experiment)[name].facts.fixed}" in str(caught.value)
    assert "leave it out" in str(caught.value)
