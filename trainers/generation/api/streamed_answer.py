"""A streamed chat answer: from the chunks of an API to the pieces of a completion and, at last, the completion."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable
from typing import Any

from trainers.generation.api.wire import Answer, read_end, tokens_charged
from trainers.generation.reasoning import ReasoningFilter
from trainers.generation.types import Completion, Prompt


async def never_silent(stream: AsyncIterable[Any], timeout_s: float) -> AsyncGenerator[Any]:
    """Yield the chunks of a stream, however many there are.

    Raises:
        TimeoutError: when the next one does not come within so many seconds.
    """
    chunks = aiter(stream)
    while True:
        try:
            async with asyncio.timeout(timeout_s):
                chunk = await anext(chunks)
        except StopAsyncIteration:
            return
        yield chunk


class StreamedAnswer:
    """Puts one completion together from the chunks in which it comes, as the `openai` client reads them."""

    def __init__(self, prompt: Prompt) -> None:
        self._prompt = prompt
        self._visible = ReasoningFilter()
        self._text = ""
        self._shown = ""
        self._reason: Any = None
        self._refusal = ""
        self._usage: dict[str, Any] = {}

    def feed(self, chunk: Any) -> str:
        """Take in a chunk and return the text that it makes visible; reasoning never is."""
        if chunk.usage is not None:
            self._usage = chunk.usage.to_dict()
        shown = ""
        for choice in chunk.choices or ():
            self._reason = choice.finish_reason or self._reason
            if choice.delta is None:
                continue
            self._refusal += choice.delta.refusal or ""
            text = choice.delta.content or ""
            self._text += text
            shown += self._visible.feed(text)
        self._shown += shown
        return shown

    def end(self) -> str:
        """Return the text that was held back until now: call it once, after the last chunk."""
        rest = self._visible.end()
        self._shown += rest
        return rest

    def answer(self) -> Answer:
        """Return the whole completion, its text without reasoning, and what it was charged.

        Raises:
            MalformedResponse: when the stream did not say how the completion ended: it broke off.
            GenerationError: with cause `content_filter` when the API withheld or refused the text.
        """
        end = read_end(self._reason, self._refusal)
        prompt_tokens, tokens = tokens_charged(self._usage, self._prompt, self._text)
        return Answer(Completion(self._shown, (), None, end, reported_tokens=tokens), prompt_tokens)
