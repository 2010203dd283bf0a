"""The wire format of `/v1/chat/completions`: pure functions from prompts to requests, from answers to completions."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from trainers.generation.api.tool_calls import message_sent, read_calls
from trainers.generation.chat_templates.tool_messages import with_calls_as
from trainers.generation.control_spellings import WELL_KNOWN, broken, spans_of
from trainers.generation.token_estimates import estimated_tokens
from trainers.generation.types import Completion, GenerationError, MalformedResponse, Message, Prompt, Sampling

_ENDS: dict[Any, Literal["stop", "length"]] = {
    "stop": "stop",
    "eos": "stop",
    "length": "length",
    "model_length": "length",
}
"""Why a completion ended, as APIs say it."""

_TOKENS_PER_MESSAGE = 8
_MOST_TOKENS_PER_MESSAGE = 32


DISPENSABLE = frozenset({"temperature", "top_p", "seed", "top_k", "min_p", "repetition_penalty"})
"""Parameters that a request can do without: the model then samples as its API likes."""

_UNSUPPORTED = re.compile(
    r"unsupported|not support|n't support|unrecogni[sz]ed|unknown|unexpected|not permitted|not allowed|deprecated", re.I
)


@dataclass(frozen=True)
class Dialect:
    """An API's name for the token budget, and the parameters that it does not take."""

    length_key: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    dropped: frozenset[str] = frozenset()

    def without(self, parameter: str) -> Dialect | None:
        """Return the dialect for an API that refused a parameter; `None` when the parameter cannot be done without."""
        if parameter == self.length_key == "max_tokens":
            return replace(self, length_key="max_completion_tokens")
        if parameter not in DISPENSABLE - self.dropped:
            return None
        return replace(self, dropped=self.dropped | {parameter})


def refused_parameter(named: str | None, text: str) -> str | None:
    """Return the parameter that an API says it does not take; `None` when the request is wrong in another way.

    A value out of range, such as a temperature of 3, is the user's to mend, and no reason to go on without it.

    Args:
        named: the error's `param`, if it has one.
        text: the error as the API sent it, where many name the parameter in quotes only.
    """
    if not _UNSUPPORTED.search(text):
        return None
    if named:
        return named.rpartition(".")[2]
    quoted = re.findall(r"""["'`](\w+)\\*["'`]|argument supplied: (\w+)""", text)
    names = [first or second for first, second in quoted]
    return next((name for name in names if name in DISPENSABLE | {"max_tokens"}), None)


@dataclass(frozen=True)
class Answer:
    """One completion, and the tokens an API charges for; `tokens` of the completion include hidden reasoning."""

    completion: Completion
    prompt_tokens: int


def chat_request(
    model: str,
    prompt: Prompt,
    sampling: Sampling,
    seed: int,
    *,
    dialect: Dialect,
    extra_body: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the arguments of one chat completion for the `openai` client.

    Truncations of sampling that are no part of the chat API (`top_k`, `min_p`, `repetition_penalty`) are sent only
    where they do something: servers such as vLLM understand them, others refuse them by name.

    Well-known control tokens that a message spells get a space, `< |im_end|>`: the template and the tokenizer that the
    API applies are not known here, and may take them for turns.
    """
    beyond = {"top_k": (sampling.top_k, 0), "min_p": (sampling.min_p, 0.0)}
    beyond["repetition_penalty"] = (sampling.repetition_penalty, 1.0)
    kept = {name: value for name, (value, off) in beyond.items() if value != off and name not in dialect.dropped}
    request: dict[str, Any] = {
        "model": model,
        "messages": [message_sent(with_calls_as(message, _shown), text) for message, text in _texts(prompt)],
        dialect.length_key: sampling.max_tokens,
        "extra_body": kept | dict(extra_body),
    }
    if prompt.tools:
        request["tools"] = list(prompt.tools)
        # An agent that is only asked what it would do says so in words.
        request |= {} if prompt.may_act else {"tool_choice": "none"}
    if sampling.json_schema is not None:
        form = {"name": "answer", "strict": True, "schema": json.loads(sampling.json_schema)}
        request["response_format"] = {"type": "json_schema", "json_schema": form}
    drawn = {"temperature": sampling.temperature, "top_p": sampling.top_p, "seed": seed}
    return request | {name: value for name, value in drawn.items() if name not in dialect.dropped}


def sample_seed(seed: int, sample: int) -> int:
    """Return the seed of one of the samples that a call asks for: 31 bits. The first one keeps the seed of the call."""
    if sample == 0:
        return seed
    return int.from_bytes(hashlib.blake2b(f"{seed}/{sample}".encode(), digest_size=4).digest(), "big") >> 1


def prompt_estimate(prompt: Prompt) -> int:
    """Estimate how many tokens a prompt costs, the chat template and its tools included."""
    return sum(estimated_tokens(text) + _TOKENS_PER_MESSAGE for text in _costs(prompt))


def prompt_bound(prompt: Prompt) -> int:
    """More tokens than a prompt can have: one for every byte, and ample room for the chat template."""
    return sum(len(text.encode()) + _MOST_TOKENS_PER_MESSAGE for text in _costs(prompt))


def read_answer(answer: Any, prompt: Prompt) -> Answer:
    """Return the one completion of an answer. Where an API counts no tokens, they are estimated.

    Raises:
        MalformedResponse: when there is no completion, or it ended for an unknown reason.
        GenerationError: with cause `content_filter` when the API withheld or refused the text.
    """
    try:
        [choice] = answer["choices"]
        message, reason = choice["message"], choice["finish_reason"]
        refusal, text = message.get("refusal"), _text(message.get("content"))
        usage = answer.get("usage") or {}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise MalformedResponse(f"the answer lacks what was asked for ({error!r})") from error
    prompt_tokens, completion_tokens = tokens_charged(usage, prompt, text)
    calls = read_calls(message.get("tool_calls"))
    ended = "stop" if calls and reason == "tool_calls" else read_end(reason, refusal)
    completion = Completion(text, (), None, ended, reported_tokens=completion_tokens, calls=calls)
    return Answer(completion, prompt_tokens)


def read_end(reason: Any, refusal: Any = None) -> Literal["stop", "length"]:
    """Return why a completion ended.

    Raises:
        MalformedResponse: when the reason is unknown.
        GenerationError: with cause `content_filter` when the API withheld or refused the text.
    """
    if reason == "content_filter" or refusal:
        raise GenerationError(f"the API withheld the text (finish_reason {reason!r})", "content_filter")
    if not isinstance(reason, str) or reason not in _ENDS:
        raise MalformedResponse(f"expected finish_reason stop or length, got {reason!r}")
    return _ENDS[reason]


def tokens_charged(usage: Mapping[str, Any], prompt: Prompt, text: str) -> tuple[int, int]:
    """Return tokens of the prompt and of the completion that an API charges for.

    What it does not count is estimated.
    """
    prompt_tokens = _count(usage.get("prompt_tokens"), prompt_estimate(prompt))
    completion_tokens = _count(usage.get("completion_tokens"), estimated_tokens(text))
    if "prompt_tokens" in usage:
        # Some APIs count hidden reasoning in the total alone, and charge for it.
        completion_tokens = max(completion_tokens, _count(usage.get("total_tokens"), 0) - prompt_tokens)
    return prompt_tokens, completion_tokens


def _costs(prompt: Prompt) -> list[str]:
    """Return everything of a prompt that is charged for: messages, tool calls, and the descriptions of tools."""
    beside = [*prompt.tools, *(message_sent(message, "") for message in prompt.messages if message.calls)]
    return [*(text for _, text in _texts(prompt)), *(json.dumps(each, ensure_ascii=False) for each in beside)]


def _texts(prompt: Prompt) -> list[tuple[Message, str]]:
    """Return the messages with what is sent of them."""
    return [(message, _shown(message.content)) for message in prompt.messages]


def _shown(text: str) -> str:
    return broken(text, spans_of(WELL_KNOWN, text))


def _text(content: Any) -> str:
    """Return the text of a message: null when reasoning used up the budget, and a list of parts at some APIs.

    Half a character, where a budget ended between the two escapes of one, can be neither written nor sent: it is `?`.
    """
    if content is None:
        return ""
    if not isinstance(content, str):
        content = "".join(part["text"] for part in content if part["type"] == "text")
    return content.encode(errors="replace").decode()


def _count(value: Any, otherwise: int) -> int:
    return value if isinstance(value, int) else otherwise
