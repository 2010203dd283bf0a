"""`/v1/completions`: a prompt is a question of one message, and an answer of the chat is text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trainers.service.errors import BadRequest

_NOT_THERE = ("echo", "suffix", "best_of", "logprobs")


def as_chat(body: Any) -> dict[str, Any]:
    """Return the chat request that asks a completion's prompt.

    Raises:
        BadRequest: when it has none, several, or asks for what only a bare model gives.
    """
    if not isinstance(body, Mapping):
        raise BadRequest("The body must be a JSON object.")
    for name in _NOT_THERE:
        if body.get(name) not in (None, False, "", 1 if name == "best_of" else None):
            raise BadRequest(f"{name} is not supported: a taught student answers the prompt, and does not continue it.")
    prompt = body.get("prompt")
    if isinstance(prompt, list) and len(prompt) == 1:
        [prompt] = prompt
    if not isinstance(prompt, str) or not prompt:
        raise BadRequest("prompt must be one text that is not empty: token ids and several prompts are not supported.")
    return {
        **{name: value for name, value in body.items() if name not in (*_NOT_THERE, "prompt")},
        "messages": [{"role": "user", "content": prompt}],
    }


def as_completion(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return an answer, or a chunk of one, of the chat in the form of a completion."""
    choices = [
        {
            "index": choice["index"],
            "text": (choice.get("message") or choice.get("delta") or {}).get("content") or "",
            "logprobs": None,
            "finish_reason": choice.get("finish_reason"),
        }
        for choice in answer["choices"]
    ]
    return {**answer, "id": f"cmpl-{answer['id']}", "object": "text_completion", "choices": choices}
