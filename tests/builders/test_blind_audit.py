"""Blind checks as a configuration asks for them: of which share, by which student, at which budget."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.fakes import ScriptedModel
from trainers.builders.protocol import build_lessons
from trainers.configuration import compose
from trainers.configuration.devices.machine import assume
from trainers.teaching.lesson import Question
from trainers.teaching.prompts import NO_TEACHING
from trainers.teaching.protocol import Protocol
from trainers.teaching.student_pool import StudentPool

POOL = "students={plain: {model: a/b}, named: {model: a/b, system_prompt: You are Mara., max_tokens: 100}}"


def lessons_of(
    *words: str, names: tuple[str, ...] = ("student",)
) -> tuple[Protocol | StudentPool, list[ScriptedModel]]:
    clients = [ScriptedModel(lambda *_: "<solution>4</solution>") for _ in names]
    config = compose(["teacher_rcl", *words], assume(8), processes=4, servers=4).config
    return build_lessons(config, dict(zip(names, clients, strict=True)))[0], clients


@pytest.mark.parametrize(
    ("words", "share"),
    [
        ((), 0.05),
        (("leak_audit_share=0.5",), 0.5),
        (("leak_policy=blind", "leak_audit_share=0"), 1.0),
        (("leak_audit_share=0",), None),
        (("verifier=code",), None),
    ],
)
def test_the_share_follows_from_share_policy_and_verifier(words, share):
    protocol, _ = lessons_of(*words)
    assert isinstance(protocol, Protocol)
    assert (protocol.audit.share if protocol.audit else None) == share


def test_each_student_of_a_pool_is_checked_itself():
    pool, clients = lessons_of(POOL, names=("plain", "named"))
    assert isinstance(pool, StudentPool)

    async def check():
        for protocol in pool.protocols.values():
            assert protocol.audit is not None
            await protocol.audit.check(Question(0, "2 + 2?", "4"), "Add.", seed=1)
        await pool.aclose()

    asyncio.run(check())
    for client, tokens, roles in zip(clients, (256, 100), (["user"], ["system", "user"]), strict=True):
        told, untold = client.calls
        assert [message.role for message in told["prompts"][0].messages] == roles
        assert (told["n"], untold["n"], told["sampling"].max_tokens) == (8, 32, tokens)
        words = untold["prompts"][0].messages[-1].content
        assert NO_TEACHING in words
        assert "a number" in words
        assert "2 + 2" not in words
