"""A form in which clients ask: translated to a chat request, and answered in its own words."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from trainers.service import wire
from trainers.service.forms.completions import as_chat, as_completion
from trainers.service.forms.response_events import ResponseEvents
from trainers.service.forms.responses import as_response, chat_of_response


class Events(Protocol):
    """Writes the server-sent events of one streamed answer."""

    def feed(self, chunk: Mapping[str, Any]) -> bytes:
        """Return the events that tell of a chunk."""
        ...

    def end(self) -> bytes:
        """Return the events after the last chunk."""
        ...

    def broken(self, message: str, kind: str) -> bytes:
        """Return the event that tells of an answer that breaks off."""
        ...


@dataclass(frozen=True)
class Form:
    """A form in which clients ask.

    Args:
        read: from a body to the body of a chat request.
        write: from the answer to a chat request, and the body, to an answer.
        events: from a body to what writes the events of a streamed answer.
    """

    read: Callable[[Any], Any]
    write: Callable[[Mapping[str, Any], Any], Mapping[str, Any]]
    events: Callable[[Any], Events]


class ChunkEvents:
    """Writes every chunk as an event without a name.

    Args:
        write: from a chunk of the chat to one of the form.
    """

    def __init__(self, write: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> None:
        self._write = write

    def feed(self, chunk: Mapping[str, Any]) -> bytes:
        """Return the event of a chunk."""
        return _event(self._write(chunk))

    def end(self) -> bytes:
        """Return the mark of the end."""
        return b"data: [DONE]\n\n"

    def broken(self, message: str, kind: str) -> bytes:
        """Return an error in place of the mark of the end."""
        return _event(wire.error(message, kind))


def _event(data: Mapping[str, Any]) -> bytes:
    # In ASCII, so that halves of characters, which some APIs send in pieces of their own, are passed on.
    return f"data: {json.dumps(data)}\n\n".encode()


CHAT = Form(
    read=lambda body: body,
    write=lambda answer, body: answer,
    events=lambda body: ChunkEvents(lambda chunk: chunk),
)
COMPLETION = Form(
    read=as_chat,
    write=lambda answer, body: as_completion(answer),
    events=lambda body: ChunkEvents(as_completion),
)
RESPONSE = Form(read=chat_of_response, write=as_response, events=ResponseEvents)
