"""Answers of a taught student: in text, or by passing the whole request on to an API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any

from trainers.generation.api.relayed import ChatRelay, RelayedChat
from trainers.generation.token_estimates import estimated_tokens
from trainers.generation.types import Generator, Sampling
from trainers.service import wire
from trainers.service.recording import HeardAnswers, RecordedLesson
from trainers.service.stops import StopStrings
from trainers.service.wire import ChatRequest, Identity
from trainers.teaching.adaptive import AdaptiveTeacher, Guidance
from trainers.teaching.lesson import Solution
from trainers.teaching.prompts import PromptTemplates, fill
from trainers.teaching.protocol import derive_seed
from trainers.traces.trace import lesson_id

FOR_A_PROGRAM = "{question}\n\nA teacher has looked at your approach and says:\n{teaching}\n\nUse what helps."
"""Words to a taught student where a program reads its answer: no word about the form of the answer."""

_STEP = 0


@dataclass(frozen=True)
class TaughtRequest:
    """One request with all that its answer needs.

    Args:
        asked: the request.
        guidance: what the teacher says to it.
        identity: what its parts are called.
        templates: the words of training.
        sampling: of one choice.
        seed: of the request.
        teacher: the teacher of each choice.
        recorded: what records the lesson, `None` where nothing does.
    """

    asked: ChatRequest
    guidance: Guidance
    identity: Identity
    templates: PromptTemplates
    sampling: Sampling
    seed: int
    teacher: Callable[[int], AdaptiveTeacher]
    recorded: RecordedLesson | None = None

    @property
    def metadata(self) -> dict[str, Any]:
        """The field `atlas` of an answer, with the lesson's id where it is recorded."""
        known = wire.metadata(self.guidance)
        return known if self.recorded is None else {**known, "lesson": lesson_id(self.identity.id)}


async def answered(request: TaughtRequest, student: Generator) -> dict[str, Any]:
    """Return the whole answer to a request, ready to be sent.

    Raises:
        GenerationError: when the student does not answer.
    """
    answer = await _whole(request, student)
    if request.recorded is not None:
        messages = [choice.get("message") or {} for choice in answer["choices"]]
        await request.recorded.write(request.identity.id, request.guidance, messages, whole=True)
    return answer


async def streamed(request: TaughtRequest, student: Generator) -> AsyncGenerator[dict[str, Any]]:
    """Yield the chunks of an answer as the student writes it; the first one has the lesson's metadata.

    Raises:
        GenerationError: when the student does not answer, or breaks off.
    """
    chunks = _relayed_chunks(request, student) if isinstance(student, ChatRelay) else _text_chunks(request, student)
    heard, first, whole = HeardAnswers(), True, False
    try:
        async with aclosing(chunks):
            async for chunk in chunks:
                heard.hear(chunk)
                yield {**chunk, "atlas": request.metadata} if first else chunk
                first = False
        whole = True
    finally:
        if request.recorded is not None:
            await request.recorded.write(request.identity.id, request.guidance, heard.messages(), whole=whole)


async def _whole(request: TaughtRequest, student: Generator) -> dict[str, Any]:
    if isinstance(student, ChatRelay):
        answer = await student.relay(_relayed(request))
        head = request.identity.head("chat.completion")
        usage = wire.counted(answer.get("usage"), request.guidance, str(answer["choices"]))
        return {**head, "choices": answer["choices"], "usage": usage, "atlas": request.metadata}
    guidance = _in_full(request)
    choices = [request.teacher(index).answer(guidance.question, student, guidance) for index in range(request.asked.n)]
    answer = wire.answer(request.identity, await asyncio.gather(*choices), request.asked.stop, guidance)
    return {**answer, "atlas": request.metadata}


async def _relayed_chunks(request: TaughtRequest, student: ChatRelay) -> AsyncGenerator[dict[str, Any]]:
    head = request.identity.head("chat.completion.chunk")
    async with aclosing(student.relay_stream(_relayed(request))) as chunks:
        async for chunk in chunks:
            if chunk["choices"]:
                yield {**head, "choices": chunk["choices"]}
            if chunk.get("usage") and request.asked.include_usage:
                yield {**head, "choices": [], "usage": wire.counted(chunk["usage"], request.guidance, "")}


async def _text_chunks(request: TaughtRequest, student: Generator) -> AsyncGenerator[dict[str, Any]]:
    """Yield one choice after the other, each up to a stop string."""
    guidance, tokens = _in_full(request), 0
    for index in range(request.asked.n):
        stops, text, solution = StopStrings(request.asked.stop), "", None
        async with aclosing(request.teacher(index).follow(guidance.question, student, guidance)) as pieces:
            async for piece in pieces:
                if isinstance(piece, Solution):
                    solution = piece
                elif shown := stops.feed(piece):
                    yield _piece(request, index, shown, begins=not text)
                    text += shown
                if stops.met:
                    break
        if (shown := stops.end()) or not text:
            yield _piece(request, index, shown, begins=not text)
            text += shown
        yield wire.chunk(request.identity, {}, index=index, finish_reason=wire.finish_reason(solution, stops.met))
        tokens += estimated_tokens(text) if solution is None else solution.tokens
    if request.asked.include_usage:
        yield wire.usage_chunk(request.identity, guidance, tokens)


def _piece(request: TaughtRequest, index: int, text: str, *, begins: bool) -> dict[str, Any]:
    delta = {"role": "assistant", "content": text} if begins else {"content": text}
    return wire.chunk(request.identity, delta, index=index)


def _in_full(request: TaughtRequest) -> Guidance:
    """Return the guidance for a student that is told the whole conversation as one text."""
    return replace(request.guidance, question=request.asked.conversation.in_full)


def _relayed(request: TaughtRequest) -> RelayedChat:
    """Return the request as it is passed on, with the teaching in the user's last message."""
    asked, teaching = request.asked, request.guidance.teaching
    fields = dict(asked.fields)
    if asked.n > 1:
        fields["n"] = asked.n
    if asked.stop:
        fields["stop"] = list(asked.stop)
    seed = derive_seed(request.seed, _STEP, 0, "taught")
    return RelayedChat(_messages(request, teaching), request.sampling, seed, fields)


def _messages(request: TaughtRequest, teaching: str | None) -> list[Mapping[str, Any]]:
    conversation = request.asked.conversation
    question = conversation.asked
    if request.asked.for_a_program:
        if teaching is None:
            return list(conversation.messages)
        return list(conversation.with_words(fill(FOR_A_PROGRAM, question=question, teaching=teaching)))
    templates = request.templates
    prompt = templates.baseline(question) if teaching is None else templates.taught(question, teaching)
    return list(conversation.with_words(prompt.messages[-1].content))
