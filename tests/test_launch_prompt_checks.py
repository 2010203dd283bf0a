"""Templates that take no system message, too few questions, and epochs, before anything starts."""

from dataclasses import replace

import pytest

from tests.tiny import build_tokenizer
from trainers.configuration import compose
from trainers.configuration.epochs import questions_per_rollout, steps_per_epoch, too_few_rows
from trainers.grpo.question_order import QuestionOrder
from trainers.launch.prompt_checks import stage_problems
from trainers.launch.ranks import WANDB_RUN, name_run, wandb_run_id
from trainers.launch.uses import ModelUse

STUDENT = ModelUse(
    "student", "student_model", "me/model", "me/model", "me/model", None, "student_max_model_len", None, True
)
WITHOUT_SYSTEM = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
)
DROPS_SYSTEM = (
    "{% for message in messages %}{% if message['role'] != 'system' %}<|im_start|>{{ message['role'] }}\n"
    "{{ message['content'] }}<|im_end|>\n{% endif %}{% endfor %}"
)


def composed(*overrides):
    return compose(["teacher_rcl", *overrides]).config


def found(template, *overrides, use=STUDENT):
    tokenizer = build_tokenizer()
    tokenizer.chat_template = template
    return list(stage_problems(use, tokenizer, composed(*overrides)))


def test_a_system_prompt_that_the_template_refuses_is_told_with_where_its_text_can_go():
    assert found(WITHOUT_SYSTEM) == []
    [problem] = found(WITHOUT_SYSTEM, "student_system_prompt=Be brief.")
    assert problem.given == "student_system_prompt=Be brief."
    assert "System role not supported" in problem.expected
    assert "baseline_template" in problem.remedy
    [problem] = found(WITHOUT_SYSTEM, "teacher_system_prompt=Be brief.", use=replace(STUDENT, role="teacher"))
    assert "teacher_template" in problem.remedy


def test_a_system_prompt_that_the_template_leaves_out_silently_is_refused():
    [problem] = found(DROPS_SYSTEM, "student_system_prompt=Be brief.")
    assert "would never read it" in problem.expected
    assert found(DROPS_SYSTEM) == []


def test_a_template_that_refuses_a_single_question_is_a_problem_of_the_model():
    [problem] = found("{{ raise_exception('needs a tool') }}")
    assert problem.given == "student_model=me/model"
    assert "needs a tool" in problem.expected


@pytest.mark.parametrize("more", [(), ("num_iterations=2",), ("steps_per_generation=4",)])
@pytest.mark.parametrize("rows", [8, 9, 15, 31, 100])
def test_an_epoch_has_the_steps_that_the_sampler_deals(more, rows):
    config = composed("train_batch_size=16", "num_generations=4", "per_device_train_batch_size=8", *more)
    per_rollout = questions_per_rollout(config)
    steps = config["steps_per_generation"] or config["gradient_accumulation_steps"]
    steps_per_rollout = steps * config["num_iterations"] // config["gradient_accumulation_steps"]
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


def test_a_continued_training_goes_on_with_its_run_on_wandb(tmp_path, monkeypatch):
    for variable in ("WANDB_RUN_ID", "WANDB_RESUME", "WANDB_PROJECT", "WANDB_RUN_GROUP", "RANK"):
        monkeypatch.delenv(variable, raising=False)
    config = {"output_dir": str(tmp_path / "run"), "resume_from": None, "report_to": ["wandb"]}
    config |= {"project": None, "wandb_group_name": None}
    first = wandb_run_id(config)
    assert (tmp_path / "run" / WANDB_RUN).read_text().strip() == first
    assert wandb_run_id(config | {"resume_from": "checkpoint-2"}) == first
    assert wandb_run_id(config) != first

    monkeypatch.setattr("os.environ", type("Environment", (dict,), {})())
    name_run(config | {"resume_from": "checkpoint-2", "report_to": "none"})
    import os

    assert "WANDB_RUN_ID" not in os.environ
    name_run(config | {"resume_from": "checkpoint-2"})
    written = [(os.environ["WANDB_RUN_ID"], os.environ["WANDB_RESUME"])]
    assert written == [((tmp_path / "run" / WANDB_RUN).read_text().strip(), "allow")]
