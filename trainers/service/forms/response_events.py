"""The events of a streamed response, made of the chunks of a streamed chat answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from trainers.service.forms.responses import (
    call_item,
    identity,
    message_item,
    refusal_part,
    response,
    status_of,
    text_part,
)


class ResponseEvents:
    """Opens an item for the text and for each call of a function, and closes it with all that it got.

    Args:
        body: the request.
    """

    def __init__(self, body: Mapping[str, Any]) -> None:
        self._body = body
        self._head: dict[str, Any] = {}
        self._numbered = 0
        self._items: list[_Text | _Call] = []
        self._text: _Text | None = None
        self._calls: dict[int, _Call] = {}
        self._reason: str | None = None
        self._usage: Mapping[str, Any] | None = None

    def feed(self, chunk: Mapping[str, Any]) -> bytes:
        """Return the events that tell of a chunk."""
        events = b"" if self._head else self._begin(chunk)
        self._usage = chunk.get("usage") or self._usage
        for choice in chunk["choices"][:1]:
            delta = choice.get("delta") or {}
            for kind, text in (("refusal", delta.get("refusal")), ("output_text", delta.get("content"))):
                if text:
                    events += self._said(kind, text)
            for call in delta.get("tool_calls") or ():
                events += self._called(call)
            self._reason = choice.get("finish_reason") or self._reason
        return events

    def end(self) -> bytes:
        """Return the events that close all items, and the whole response."""
        events = b"" if self._items else self._said("output_text", "")
        for place, item in enumerate(self._items):
            events += self._close(place, item)
        output = [item.whole(self._head["id"], self._status(place)) for place, item in enumerate(self._items)]
        whole = response(self._head, self._body, output, self._reason or "stop", self._usage)
        return events + self._event(f"response.{whole['status']}", response=whole)

    def broken(self, message: str, kind: str) -> bytes:
        """Return the event that tells of an answer that breaks off."""
        # The clients' libraries raise what stands in `error`.
        return self._event("error", code=kind, message=message, param=None, error={"message": message, "code": kind})

    def _begin(self, chunk: Mapping[str, Any]) -> bytes:
        self._head = {name: chunk[name] for name in ("id", "created", "model", "atlas") if name in chunk}
        begun = response(self._head, self._body, (), None, None)
        return self._event("response.created", response=begun) + self._event("response.in_progress", response=begun)

    def _said(self, kind: str, text: str) -> bytes:
        events = b""
        if self._text is None or self._text.kind != kind:
            self._text = _Text(kind)
            self._items.append(self._text)
            place = len(self._items) - 1
            events += self._open(place, self._text)
            part = {"content_index": 0, "part": self._text.part()}
            events += self._event("response.content_part.added", **self._place(place, self._text), **part)
        self._text.said += text
        place = self._items.index(self._text)
        where = {**self._place(place, self._text), "content_index": 0}
        extra: dict[str, Any] = {"logprobs": []} if kind == "output_text" else {}
        return events + (self._event(f"response.{kind}.delta", **where, delta=text, **extra) if text else b"")

    def _called(self, call: Mapping[str, Any]) -> bytes:
        index, function = int(call.get("index") or 0), call.get("function") or {}
        events = b""
        if index not in self._calls:
            self._calls[index] = one = _Call(index, call.get("id"), function.get("name"))
            self._items.append(one)
            events += self._open(len(self._items) - 1, one)
        one = self._calls[index]
        arguments = function.get("arguments") or ""
        one.arguments += arguments
        where = self._place(self._items.index(one), one)
        told = self._event("response.function_call_arguments.delta", **where, delta=arguments) if arguments else b""
        return events + told

    def _open(self, place: int, item: _Text | _Call) -> bytes:
        begun = item.whole(self._head["id"], "in_progress")
        if isinstance(item, _Text):
            begun["content"] = []
        return self._event("response.output_item.added", output_index=place, item=begun)

    def _close(self, place: int, item: _Text | _Call) -> bytes:
        where = self._place(place, item)
        if isinstance(item, _Call):
            events = self._event(
                "response.function_call_arguments.done", **where, name=item.name or "", arguments=item.arguments
            )
        else:
            where["content_index"] = 0
            said = {"text": item.said, "logprobs": []} if item.kind == "output_text" else {"refusal": item.said}
            events = self._event(f"response.{item.kind}.done", **where, **said)
            events += self._event("response.content_part.done", **where, part=item.part())
        whole = item.whole(self._head["id"], self._status(place))
        return events + self._event("response.output_item.done", output_index=place, item=whole)

    def _status(self, place: int) -> str:
        """Return the status of an item at the end: what was cut off is the last one."""
        return status_of(self._reason or "stop") if place == len(self._items) - 1 else "completed"

    def _place(self, place: int, item: _Text | _Call) -> dict[str, Any]:
        return {"item_id": item.whole(self._head["id"], "")["id"], "output_index": place}

    def _event(self, kind: str, **data: Any) -> bytes:
        event = {"type": kind, "sequence_number": self._numbered, **data}
        self._numbered += 1
        # In ASCII, so that halves of characters, which some APIs send in pieces of their own, are passed on.
        return f"event: {kind}\ndata: {json.dumps(event)}\n\n".encode()


class _Text:
    def __init__(self, kind: str) -> None:
        self.kind, self.said = kind, ""

    def part(self) -> dict[str, Any]:
        return text_part(self.said) if self.kind == "output_text" else refusal_part(self.said)

    def whole(self, answer: str, status: str) -> dict[str, Any]:
        item = message_item(answer, [self.part()], status)
        return item if self.kind == "output_text" else {**item, "id": identity(answer, "msg", 1)}


class _Call:
    def __init__(self, index: int, call: str | None, name: str | None) -> None:
        self.index, self.call, self.name, self.arguments = index, call, name, ""

    def whole(self, answer: str, status: str) -> dict[str, Any]:
        return call_item(answer, self.index, self.call, self.name, self.arguments, status)
