"""A mentor with another tokenizer, or too short a context, is refused before servers start."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

from tests.launch.test_inspection import EIGHT, USE
from trainers.launch.checks.compatibility import ReadModel, mentor_problems
from trainers.launch.checks.model_uses import ModelUse

MENTOR = replace(USE, role="mentor", key="mentor_model", model="me/large", length_key="mentor_max_model_len")


def read(use: ModelUse, **vocabulary: int) -> ReadModel:
    return ReadModel(use, EIGHT, SimpleNamespace(get_vocab=lambda: vocabulary))


def test_the_same_vocabulary_is_fine_and_so_is_no_mentor() -> None:
    assert list(mentor_problems([read(USE, a=0, b=1), read(MENTOR, b=1, a=0)])) == []
    assert list(mentor_problems([read(USE, a=0)])) == []


def test_ids_that_mean_other_tokens_are_told() -> None:
    [problem] = mentor_problems([read(USE, a=0, b=1, c=2), read(MENTOR, a=0, b=2, c=1, d=3)])
    assert problem.given == "mentor_model=me/large"
    assert "3 tokens have other ids or none, 'b', 'c', 'd'" in problem.expected
    assert "same tokenizer" in problem.remedy


def test_a_context_shorter_than_the_teachers_is_told() -> None:
    assert EIGHT is not None
    short = replace(read(MENTOR, a=0), shape=replace(EIGHT, positions=4096))
    [problem] = mentor_problems([read(USE, a=0), short])
    assert "at most 4,096 tokens" in problem.expected
    assert problem.remedy.startswith("set teacher_max_model_len=4096")
