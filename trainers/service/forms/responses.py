"""`/v1/responses`: items of a conversation are messages of the chat, and an answer of the chat is items.

Nothing is kept between requests, so that what refers to an earlier one is refused by its name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from trainers.service.errors import BadRequest
from trainers.service.wire import number

_STATEFUL = {
    "previous_response_id": "send the whole conversation as input",
    "conversation": "send the whole conversation as input",
    "background": "wait for the answer, or stream it",
    "store": "leave it out, or false: nothing is stored here",
    "prompt": "send its text as instructions and input",
    "context_management": "leave it out: the conversation is taken as it is",
    "max_tool_calls": "leave it out: tools are called by the client",
    "top_logprobs": "ask for them with /v1/chat/completions",
}
"""Fields that need a memory, or more than the student's chat, with what to do instead."""

_READ = (
    *("input", "instructions", "tools", "tool_choice", "text", "reasoning", "max_output_tokens", "include"),
    *("truncation", "stream_options", "prompt_cache_key", "prompt_cache_retention", "safety_identifier"),
)
"""Fields that are translated, or that concern nobody behind the service."""

_HARMLESS = ("reasoning.encrypted_content",)
_CUT = {"length": "max_output_tokens", "content_filter": "content_filter"}
"""Reasons for which an answer is not whole, by its finish reason."""
_NAMES_OF_PARTS = {"input_text": "text", "output_text": "text", "text": "text", "input_image": "image_url"}
Message = dict[str, Any]


def chat_of_response(body: Any) -> dict[str, Any]:
    """Return the chat request that asks for a response.

    Raises:
        BadRequest: when it is malformed, or asks for what needs a memory or tools of the server.
    """
    if not isinstance(body, Mapping):
        raise BadRequest("The body must be a JSON object.")
    _check_stateless(body)
    chat = {name: value for name, value in body.items() if name not in (*_READ, *_STATEFUL)}
    chat["messages"] = [*_instructions(body.get("instructions")), *_messages(body.get("input"))]
    chat["max_completion_tokens"] = number(body, "max_output_tokens", int, 1)
    chat["stream_options"] = {"include_usage": True}
    if body.get("tools"):
        chat["tools"] = [_tool(tool) for tool in _list(body, "tools")]
        chat["tool_choice"] = _tool_choice(body.get("tool_choice"))
    text, reasoning = _object(body, "text"), _object(body, "reasoning")
    chat["response_format"] = _format(text.get("format"))
    chat["verbosity"] = text.get("verbosity")
    chat["reasoning_effort"] = reasoning.get("effort")
    return {name: value for name, value in chat.items() if value is not None}


def as_response(answer: Mapping[str, Any], body: Mapping[str, Any]) -> dict[str, Any]:
    """Return an answer of the chat in the form of a response."""
    [choice] = answer["choices"][:1]
    message, ident = choice.get("message") or {}, answer["id"]
    calls = list(message.get("tool_calls") or ())
    output: list[dict[str, Any]] = []
    text, refusal = message.get("content"), message.get("refusal")
    if text or refusal or not calls:
        parts = [refusal_part(refusal)] if refusal else []
        if text or not refusal:
            parts.append(text_part(text))
        output.append(message_item(ident, parts))
    for index, call in enumerate(calls):
        function = call.get("function") or {}
        output.append(call_item(ident, index, call.get("id"), function.get("name"), function.get("arguments") or ""))
    reason = choice.get("finish_reason")
    if output:
        output[-1]["status"] = status_of(reason)
    return response(answer, body, output, reason, answer.get("usage"))


def status_of(finish_reason: str | None) -> str:
    """Return the status of an answer, and of the item that was its last: who runs a call looks whether it is whole."""
    return "in_progress" if finish_reason is None else "incomplete" if finish_reason in _CUT else "completed"


def response(
    head: Mapping[str, Any],
    body: Mapping[str, Any],
    output: Sequence[Mapping[str, Any]],
    finish_reason: str | None,
    usage: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Return a response object; one that is in progress has no finish reason.

    Args:
        head: `id`, `created`, `model` and, where it is there, `atlas` of the chat's answer.
        body: the request, some of whose fields a response repeats.
        output: its items.
        finish_reason: as the chat says it.
        usage: as the chat counts it.
    """
    cut = _CUT.get(finish_reason or "")
    repeated = {name: body.get(name) for name in ("instructions", "max_output_tokens", "temperature", "top_p")}
    return {
        "id": identity(head["id"], "resp"),
        "object": "response",
        "created_at": head["created"],
        "model": head["model"],
        "status": status_of(finish_reason),
        "output": list(output),
        "usage": _usage(usage) if usage and finish_reason is not None else None,
        "error": None,
        "incomplete_details": {"reason": cut} if cut else None,
        "metadata": body.get("metadata") or {},
        "parallel_tool_calls": body.get("parallel_tool_calls") is not False,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None} | dict(body.get("reasoning") or {}),
        "store": False,
        "text": {"format": {"type": "text"}} | dict(body.get("text") or {}),
        "tool_choice": body.get("tool_choice") or "auto",
        "tools": body.get("tools") or [],
        "truncation": "disabled",
        **repeated,
        **({"atlas": head["atlas"]} if "atlas" in head else {}),
    }


def identity(answer: str, kind: str, index: int = 0) -> str:
    """Return the id of a part of an answer: `resp_…`, `msg_…`, `fc_…`."""
    return f"{kind}_{answer.rpartition('-')[2]}{f'_{index}' if index else ''}"


def message_item(answer: str, parts: Sequence[Mapping[str, Any]], status: str = "completed") -> dict[str, Any]:
    """Return a message of a response."""
    head = {"id": identity(answer, "msg"), "type": "message", "status": status, "role": "assistant"}
    return {**head, "content": list(parts)}


def call_item(
    answer: str, index: int, call: str | None, name: str | None, arguments: str, status: str = "completed"
) -> dict[str, Any]:
    """Return a call of a function; `index` is its place among the calls of the answer."""
    ident = identity(answer, "fc", index)
    head = {"id": ident, "type": "function_call", "status": status, "call_id": call or ident}
    return {**head, "name": name or "", "arguments": arguments}


def text_part(text: str | None) -> dict[str, Any]:
    """Return a text of a message."""
    return {"type": "output_text", "text": text or "", "annotations": [], "logprobs": []}


def refusal_part(refusal: str) -> dict[str, Any]:
    """Return a refusal of a message."""
    return {"type": "refusal", "refusal": refusal}


def _check_stateless(body: Mapping[str, Any]) -> None:
    for name, remedy in _STATEFUL.items():
        if body.get(name) not in (None, False, 0, [], {}):
            raise BadRequest(f"{name} is not supported: {remedy}.")
    if body.get("truncation") not in (None, "disabled"):
        raise BadRequest("truncation is not supported: shorten the input, whose length is told when it is too long.")
    asked = [name for name in _list(body, "include") if name not in _HARMLESS]
    if asked:
        raise BadRequest(f"include of {asked[0]!r} is not supported: leave it out.")


def _instructions(text: Any) -> list[Message]:
    if text is None or text == "":
        return []
    if not isinstance(text, str):
        raise BadRequest("instructions must be a text.")
    return [{"role": "system", "content": text}]


def _messages(given: Any) -> list[Message]:
    if isinstance(given, str):
        return [{"role": "user", "content": given}]
    if not isinstance(given, list) or not given:
        raise BadRequest("input must be a text, or a list with at least one item.")
    messages: list[Message] = []
    for item in given:
        _add(messages, item)
    return messages


def _add(messages: list[Message], item: Any) -> None:
    """Add an item to the messages: one of its own, or calls to the message of the assistant that they belong to."""
    kind = item.get("type") or "message" if isinstance(item, Mapping) else None
    if kind == "message":
        messages.append({"role": item.get("role"), "content": _content(item.get("content"), item.get("role"))})
    elif kind == "function_call":
        function = {"name": item.get("name"), "arguments": item.get("arguments")}
        call = {"id": item.get("call_id"), "type": "function", "function": function}
        if not messages or messages[-1]["role"] != "assistant":
            messages.append({"role": "assistant", "content": None})
        messages[-1].setdefault("tool_calls", []).append(call)
    elif kind == "function_call_output":
        content = _content(item.get("output"), "tool")
        messages.append({"role": "tool", "tool_call_id": item.get("call_id"), "content": content})
    elif kind != "reasoning":  # which is not told to a student again
        raise BadRequest(
            f"An item of type {kind!r} is not supported in input: messages, function_call and function_call_output are."
        )


def _content(content: Any, role: Any) -> Any:
    if not isinstance(content, list):
        return content
    parts = [_part(part) for part in content]
    if role in ("user", "system", "developer") and any(part["type"] != "text" for part in parts):
        return parts
    return "".join(part.get("text", "") for part in parts)


def _part(part: Any) -> dict[str, Any]:
    kind = part.get("type") if isinstance(part, Mapping) else None
    if kind == "refusal":
        return {"type": "text", "text": str(part.get("refusal") or "")}
    if kind not in _NAMES_OF_PARTS or (kind == "input_image" and not isinstance(part.get("image_url"), str)):
        raise BadRequest(
            f"A part of type {kind!r} is not supported in input: texts are, and images by their image_url."
        )
    if kind == "input_image":
        image = {"url": part["image_url"]} | ({"detail": part["detail"]} if part.get("detail") else {})
        return {"type": "image_url", "image_url": image}
    if not isinstance(part.get("text"), str):
        raise BadRequest(f"A part of type {kind} needs a text.")
    return {"type": "text", "text": part["text"]}


def _tool(tool: Any) -> dict[str, Any]:
    kind = tool.get("type") if isinstance(tool, Mapping) else None
    if kind != "function":
        raise BadRequest(f"A tool of type {kind!r} is not supported: only functions are, which the client calls.")
    function = {name: value for name, value in tool.items() if name != "type" and value is not None}
    return {"type": "function", "function": function}


def _tool_choice(choice: Any) -> Any:
    if choice is None or isinstance(choice, str):
        return choice
    if isinstance(choice, Mapping) and choice.get("type") == "function":
        return {"type": "function", "function": {"name": choice.get("name")}}
    raise BadRequest("tool_choice must be none, auto, required, or one function.")


def _format(form: Any) -> Any:
    if not isinstance(form, Mapping) or form.get("type") != "json_schema":
        return form
    return {"type": "json_schema", "json_schema": {name: value for name, value in form.items() if name != "type"}}


def _object(body: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = body.get(name)
    if not isinstance(value, Mapping | None):
        raise BadRequest(f"{name} must be an object.")
    return value or {}


def _list(body: Mapping[str, Any], name: str) -> Iterable[Any]:
    value = body.get(name)
    if not isinstance(value, list | None):
        raise BadRequest(f"{name} must be a list.")
    return value or ()


def _usage(usage: Mapping[str, Any]) -> dict[str, Any]:
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
    reasoning = (usage.get("completion_tokens_details") or {}).get("reasoning_tokens") or 0
    prompt, completion = int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0)
    return {
        "input_tokens": prompt,
        "input_tokens_details": {"cached_tokens": cached, "cache_write_tokens": 0},
        "output_tokens": completion,
        "output_tokens_details": {"reasoning_tokens": reasoning},
        "total_tokens": int(usage.get("total_tokens") or prompt + completion),
    }
