"""A mentor has servers of its own behind those of teacher and student, and contradictions with it are told."""

from __future__ import annotations

import pytest

from tests.configuration.test_placement import layout
from trainers.configuration import ConfigurationError, compose, server_layout
from trainers.configuration.devices.machine import Machine

DISTILL = "teacher_rcl mentor_model=big temperature=1.0"


@pytest.mark.parametrize("recipe", ["teacher_distill", "quickstart_distill"])
def test_the_recipes_have_a_mentor_that_gets_no_weights(recipe: str) -> None:
    config = compose([recipe], Machine(tuple(range(8))), servers=4).config
    [mentor] = [spec for spec in server_layout(config) if spec.role == "mentor"]
    assert mentor.weight_transfer is None
    assert mentor.model == config.mentor.model


def test_it_has_one_slot_behind_teacher_and_student() -> None:
    names = [name for name, *_ in layout(DISTILL, 6)]
    assert names == ["teacher-0", "student-0", "mentor-0", "teacher-1", "student-1", "teacher-2"]
    assert [port for _, port, _ in layout(DISTILL, 1)] == [8765, 8766, 8767]


def test_further_slots_beside_an_api_student_are_teachers() -> None:
    names = [name for name, *_ in layout(f"{DISTILL} student_base_url=http://api/v1", 4)]
    assert names == ["teacher-0", "mentor-0", "teacher-1", "teacher-2"]


@pytest.mark.parametrize(
    ("overrides", "given", "remedy"),
    [
        ("mentor_model=Arc-Intelligence/ATLAS-8B-Thinking", "it is the model that is trained", "larger"),
        ("temperature=0.7", "temperature=0.7", "set temperature=1"),
        ("top_p=0.9", "top_p=0.9", "set top_p=1"),
        ("top_k=20", "top_k=20", "set top_k=0"),
        ("min_p=0.1", "min_p=0.1", "set min_p=null"),
        ("repetition_penalty=1.1", "repetition_penalty=1.1", "set repetition_penalty=1"),
        ("loss_type=sapo", "loss_type=sapo", "set loss_type=dapo"),
        ("importance_sampling_level=sequence", "importance_sampling_level=sequence", "=token"),
        ("off_policy_mask_threshold=0.5", "off_policy_mask_threshold=0.5", "=null"),
        ("dynamic_sampling=true", "dynamic_sampling=true", "dynamic_sampling=false"),
        ("mentor_max_model_len=4096", "mentor_max_model_len=4096", "set mentor_max_model_len=16384"),
        ("mentor_tensor_parallel_size=4", "mentor_tensor_parallel_size=4", "start 6 server GPUs"),
    ],
)
def test_what_contradicts_distillation_is_told_with_what_to_write(overrides: str, given: str, remedy: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        compose([*DISTILL.split(), *overrides.split()], Machine(tuple(range(8))), servers=4)
    said = [f"{problem.given} {problem.expected} {problem.remedy}" for problem in caught.value.problems]
    assert any(given in text and remedy in text for text in said), said


def test_keys_of_a_mentor_without_one_are_told() -> None:
    with pytest.raises(ConfigurationError, match=r"(?s)mentor_dtype.*mentor_model=…"):
        compose(["teacher_rcl", "mentor_dtype=float16"], Machine((0,)))
