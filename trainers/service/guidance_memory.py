"""The guidance of user turns that are still going on, so that a tool's result is no reason to teach again."""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from typing import Any

from trainers.service.conversation import Conversation
from trainers.teaching.adaptive import Guidance


class GuidanceMemory:
    """Remembers the guidance of the latest user turns.

    Args:
        most: turns that are remembered; the oldest is forgotten for a new one.
    """

    def __init__(self, most: int = 1024) -> None:
        self._most = most
        self._known: OrderedDict[bytes, Guidance] = OrderedDict()

    def remember(self, conversation: Conversation, guidance: Guidance) -> None:
        """Keep the guidance of a conversation's last user turn."""
        self._known[_key(conversation)] = guidance
        while len(self._known) > self._most:
            self._known.popitem(last=False)

    def recall(self, conversation: Conversation) -> Guidance | None:
        """Return the guidance of the user turn that a conversation goes on with; `None` for one that begins it.

        Whoever asks the same again wants another answer; whoever brings the result of a tool is still in the turn.
        """
        return self._known.get(_key(conversation)) if conversation.goes_on else None


def _key(conversation: Conversation) -> bytes:
    # Clients add fields of their own to messages that they send again; what was said remains.
    said: list[Any] = [(message["role"], message.get("content")) for message in conversation.turn_began]
    return hashlib.blake2b(json.dumps(said, sort_keys=True).encode()).digest()
