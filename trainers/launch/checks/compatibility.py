"""Checks that a model can do what a run asks of it.

Pure but for a look at vLLM's source: what tokenizer and configuration say comes as arguments.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from trainers.configuration import Problem
from trainers.launch.checks.model_uses import ModelUse
from trainers.launch.estimates.model_sizes import ModelShape

_SHOWN = 3


def model_problems(use: ModelUse, shape: ModelShape | None, tokens: int, has_template: bool) -> Iterator[Problem]:
    """Yield the reasons why a model is unfit for its role; `tokens` is the number of ids that its tokenizer knows."""
    given = f"{use.key}={use.model}"
    if not has_template:
        remedy = "choose an instruction-tuned model, or put a chat_template.jinja beside its tokenizer"
        yield Problem(given, "its tokenizer has no chat template, by which every model is prompted", remedy)
    if shape is None:
        return
    if tokens > shape.vocabulary:
        expected = f"its tokenizer has {tokens:,} tokens, its embedding {shape.vocabulary:,} rows"
        yield Problem(given, expected, "use the tokenizer that belongs to the model, or resize its embedding")
    if use.length is not None and shape.positions is not None and use.length > shape.positions:
        expected = f"{use.model} takes sequences of at most {shape.positions:,} tokens"
        yield Problem(f"{use.length_key}={use.length}", expected, f"set {use.length_key}={shape.positions} or lower")


def model_warnings(use: ModelUse, shape: ModelShape | None) -> Iterator[str]:
    """Yield a warning for a served model of an architecture that vLLM has no code of its own for."""
    if use.served and shape is not None and shape.architecture and not vllm_knows(shape.architecture):
        yield (
            f"{use.key}={use.model}: vLLM has no {shape.architecture} of its own; it may load it through transformers, "
            "more slowly, or refuse it"
        )


@cache
def vllm_knows(architecture: str) -> bool:
    """Return whether vLLM's registry lists an architecture.

    It is read from vLLM's source, since importing vLLM takes half a minute.
    """
    spec = importlib.util.find_spec("vllm")
    found = (
        [Path(path) / "model_executor" / "models" / "registry.py" for path in spec.submodule_search_locations or []]
        if spec
        else []
    )
    return any(f'"{architecture}"' in path.read_text(encoding="utf-8") for path in found if path.is_file())


@dataclass(frozen=True)
class ReadModel:
    """A model as far as it was read: where it is used, its shape, and its tokenizer."""

    use: ModelUse
    shape: ModelShape | None
    tokenizer: Any


def mentor_problems(models: Iterable[ReadModel]) -> Iterator[Problem]:
    """Yield why a mentor cannot judge the tokens of its teacher; nothing where there is none, or one was not read."""
    by_role = {read.use.role: read for read in models}
    if "mentor" not in by_role or "teacher" not in by_role:
        return
    own, theirs = by_role["mentor"], by_role["teacher"]
    mentor, teacher = own.use, theirs.use
    given = f"{mentor.key}={mentor.model}"
    if differing := differences(own.tokenizer.get_vocab(), theirs.tokenizer.get_vocab()):
        expected = (
            f"expected the vocabulary of {teacher.model}, whose token ids it is given: {len(differing):,} tokens have "
            f"other ids or none, {', '.join(differing[:_SHOWN])} among them"
        )
        yield Problem(given, expected, "name a larger model with the same tokenizer, mostly one of the same family")
    positions = own.shape.positions if own.shape else None
    if positions is not None and teacher.length is not None and positions < teacher.length:
        expected = f"it takes sequences of at most {positions:,} tokens, and {teacher.length_key}={teacher.length}"
        yield Problem(given, expected, f"set {teacher.length_key}={positions}, or name a mentor with a longer context")


def differences(mentor: Mapping[str, int], teacher: Mapping[str, int]) -> list[str]:
    """Return the tokens, as they are spelled, that do not have the same id in two vocabularies."""
    return sorted(repr(token) for token in mentor.keys() | teacher.keys() if mentor.get(token) != teacher.get(token))
