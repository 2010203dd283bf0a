"""Epochs and rollouts by the number of questions, as the sampler deals them."""

import pytest

from trainers.configuration import compose
from trainers.configuration.epochs import questions_per_rollout, steps_per_epoch, too_few_rows
from trainers.grpo.curriculum.question_order import QuestionOrder


def composed(*overrides):
    return compose(["teacher_rcl", *overrides]).config


@pytest.mark.parametrize("more", [(), ("num_iterations=2",), ("steps_per_generation=4",)])
@pytest.mark.parametrize("rows", [8, 9, 15, 31, 100])
def test_an_epoch_has_the_steps_that_the_sampler_deals(more, rows):
    config = composed("train_batch_size=16", "num_generations=4", "per_device_train_batch_size=8", *more)
    per_rollout = questions_per_rollout(config)
    steps = config.trainer.steps_per_generation or config.trainer.gradient_accumulation_steps
    steps_per_rollout = steps * config.trainer.num_iterations // config.trainer.gradient_accumulation_steps
    order = QuestionOrder(rows, per_rollout, seed=0)
    assert steps_per_epoch(config, rows) == order.rollouts_per_epoch * steps_per_rollout


def test_too_few_questions_for_a_rollout_are_told_with_how_many_are_needed():
    config = composed("train_batch_size=16", "num_generations=4", "per_device_train_batch_size=8")
    assert list(too_few_rows(config, 4)) == []
    [problem] = too_few_rows(config, 3)
    assert "3 questions to train on" in problem.given
    assert "one rollout asks 4" in problem.expected
    with pytest.raises(ValueError, match="do not fill one rollout"):
        QuestionOrder(3, questions_per_rollout(config), seed=0)
