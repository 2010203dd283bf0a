"""A fence around text that is judged: whoever wrote it must not be able to speak to the judge.

Each text stands between two lines that hold a mark which its author cannot know: it is derived from a secret of the
run and from the texts themselves. What the text says of fences, turns or scores therefore stays inside.
"""

from __future__ import annotations

import hashlib
import re

from trainers.generation.control_spellings import WELL_KNOWN, broken, spans_of

_FENCED = re.compile(
    r"^\[BEGIN (?P<name>[a-z ]+) (?P<mark>[0-9a-f]{16})\]\n(?P<text>.*?)\n\[END (?P=name) (?P=mark)\]$", re.M | re.S
)


def mark_of(secret: str, *texts: str) -> str:
    """Return the mark of some texts: 64 bits in hexadecimal digits, which none of them holds."""
    salt = 0
    while True:
        content = "\0".join([secret, str(salt), *texts])
        mark = hashlib.blake2b(content.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
        if not any(mark in text for text in texts):
            return mark
        salt += 1


def fenced(name: str, text: str, mark: str) -> str:
    """Return a text between two lines with its name and the mark; control tokens that it spells get a space."""
    inert = broken(text, spans_of(WELL_KNOWN, text))
    return f"[BEGIN {name} {mark}]\n{inert}\n[END {name} {mark}]"


def fenced_texts(prompt: str) -> dict[str, str]:
    """Return the fenced texts of a prompt, by their names: for judges that are programs, and for tests."""
    return {found["name"]: found["text"] for found in _FENCED.finditer(prompt)}


def outside(prompt: str) -> str:
    """Return what of a prompt stands outside of all fences: what a judge is to obey."""
    return _FENCED.sub("", prompt)
