"""A mentor reads the policy's own tokens, and every one of them is trained on with an advantage of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
import torch

from tests.support.bare_trainer import Lengths, build
from tests.support.lessons import group, lesson
from trainers.generation.types import GenerationError
from trainers.grpo.distillation.advantages import token_advantages
from trainers.grpo.distillation.mentor import Mentor, Readings, distillation_means
from trainers.grpo.lesson_batches import lost_groups
from trainers.grpo.rollouts import Rollout, training_rows
from trainers.grpo.trl.distilling_trainer import DistillingTrainer
from trainers.grpo.trl.rollout_function import MENTOR_LOGPROBS
from trainers.grpo.unpadded.micro_batches import select


class Scripted:
    """A model that finds every token as likely as its id says, or fails."""

    def __init__(self, failing: bool = False) -> None:
        self.failing = failing
        self.asked: list[Sequence[tuple[int, ...]]] = []

    async def prompt_logprobs(self, sequences: Sequence[tuple[int, ...]], *, priority: int = 0) -> Any:
        self.asked.append(sequences)
        if self.failing:
            raise GenerationError("it is gone", "connection")
        return [tuple(-token / 10 for token in ids[1:]) for ids in sequences]

    async def aclose(self) -> None:
        pass


def unsampled(*, member: int) -> Any:
    made = lesson([False], None, member=member, reward=None)
    object.__setattr__(made, "sample", None)
    return made


def read(reader: Scripted, *groups: Any) -> list[Readings]:
    return asyncio.run(Mentor(reader).read(groups))


def test_a_mentor_reads_prompt_and_completion_and_tells_of_the_completion() -> None:
    reader = Scripted()
    [readings] = read(reader, group(lesson([False], True), unsampled(member=1)))
    assert reader.asked == [[(1, 2, 3, 4, 5)]]
    assert readings == Readings(((-0.3, -0.4, -0.5), None))


def test_a_group_that_cannot_be_read_is_lost_with_its_cause_and_never_scored() -> None:
    groups = [group(lesson([False], True)), group(lesson([True], True), dropped="probe_timeout")]
    readings = read(Scripted(failing=True), *groups)
    assert [each.failure for each in readings] == ["mentor_connection"] * 2
    assert lost_groups(Rollout(groups, 1.0, {}, readings=tuple(readings))) == ["mentor_connection", "probe_timeout"]
    assert [row.trained for row in training_rows(groups, 9, readings)] == [False, False]


def test_what_was_read_is_trained_on_whatever_became_of_the_student() -> None:
    groups = [
        group(lesson([False], True), lesson([False], None, member=1, reward=None)),
        group(lesson([True], True), dropped="baseline_timeout"),
    ]
    rows = training_rows(groups, 9, read(Scripted(), *groups))
    assert [row.trained for row in rows] == [True, True, False]
    assert rows[1].mentor_logprobs == pytest.approx([-0.3, -0.4, -0.5])
    assert rows[2].mentor_logprobs is None


def test_the_distance_is_measured_over_the_tokens_that_were_read() -> None:
    groups = [group(lesson([False], True), unsampled(member=1))]
    means = distillation_means(groups, read(Scripted(), *groups))
    # The lesson's own log-probabilities are -0.1, -0.2, -0.3.
    assert means["distillation/reverse_kl"].value == pytest.approx(0.2)
    assert means["distillation/reverse_kl"].count == 3
    assert means["distillation/unread_rate"].value == 0.5


def test_the_advantage_of_a_token_is_what_the_mentor_finds_it_likelier_by() -> None:
    sampled = torch.tensor([[-1.0, -2.0, -3.0], [-1.0, -1.0, 0.0], [-1.0, 0.0, 0.0]])
    found = token_advantages(sampled, [[-0.5, -2.5, -99.0], [-1.0, -0.25], None], 10.0)
    assert torch.allclose(found, torch.tensor([[0.5, -0.5, -10.0], [0.0, 0.75, 0.0], [0.0, 0.0, 0.0]]))


def test_advantages_of_tokens_are_cut_with_their_tokens() -> None:
    rollout = {
        "prompt_ids": torch.ones(2, 2),
        "prompt_mask": torch.ones(2, 2),
        "completion_ids": torch.ones(2, 5),
        "completion_mask": torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]),
        "advantages": torch.arange(10.0).view(2, 5),
    }
    assert select(rollout, [1])["advantages"].tolist() == [[5.0, 6.0, 7.0]]
    assert select(rollout | {"advantages": torch.tensor([1.0, 2.0])}, [1])["advantages"].tolist() == [2.0]


class Distilling(DistillingTrainer):
    """Distils, whatever the reward."""

    log_ratio_clip = 10.0


def lessons_like(mentor: float) -> Any:
    """A rollout function whose mentor finds every token of even id likelier by so many nats, and odd ones less."""

    def lessons(prompts: list[Any], trainer: Any) -> dict[str, list[Any]]:
        made = Lengths().lessons(prompts, trainer)
        pairs = zip(made["completion_ids"], made["logprobs"], made["env_mask"], strict=True)
        made[MENTOR_LOGPROBS] = [
            [own + (mentor if token % 2 == 0 else -mentor) for token, own in zip(ids, logprobs, strict=True)]
            if mask[0]
            else None
            for ids, logprobs, mask in pairs
        ]
        return made

    return lessons


@pytest.mark.slow
def test_a_step_makes_what_the_mentor_finds_likelier_likelier_and_the_rest_less_likely(tmp_path: Any) -> None:
    trainer = build(Distilling, tmp_path, lessons_like(2.0), learning_rate=0.05, num_generations=4)
    seen: list[dict[str, torch.Tensor]] = []
    make = trainer._into_micro_batches
    trainer._into_micro_batches = lambda rollout: seen.extend(found := make(rollout)) or found
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    trainer.train()
    after = {name: value.clone() for name, value in trainer.model.state_dict().items()}

    def mean_logprobs(weights: dict[str, torch.Tensor]) -> tuple[float, float]:
        trainer.model.load_state_dict(weights)
        praised, blamed = [], []
        for batch in seen:
            ids = torch.cat([batch["prompt_ids"], batch["completion_ids"]], 1)
            mask = torch.cat([batch["prompt_mask"], batch["completion_mask"]], 1)
            width = batch["completion_ids"].size(1)
            with torch.no_grad():
                logits = trainer.model(ids, attention_mask=mask).logits[:, -width - 1 : -1]
            logprobs = logits.log_softmax(-1).gather(-1, batch["completion_ids"].unsqueeze(-1)).squeeze(-1)
            trained = (batch["completion_mask"] * batch["tool_mask"]).bool()
            praised.append(logprobs[trained & (batch["advantages"] > 0)])
            blamed.append(logprobs[trained & (batch["advantages"] < 0)])
        return float(torch.cat(praised).mean()), float(torch.cat(blamed).mean())

    (praised_before, blamed_before), (praised, blamed) = mean_logprobs(before), mean_logprobs(after)
    assert praised > praised_before
    assert praised - blamed > praised_before - blamed_before


@pytest.mark.slow
def test_a_policy_that_is_its_mentor_stays_as_it_is(tmp_path: Any) -> None:
    trainer = build(Distilling, tmp_path, lessons_like(0.0))
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    trainer.train()
    assert all(torch.equal(before[name], value) for name, value in trainer.model.state_dict().items())
