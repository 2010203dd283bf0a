"""An agent of the user's own that takes several turns: what it gives back, and how it is called."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite
from typing import Any, Literal

from trainers.generation.token_estimates import estimated_tokens
from trainers.generation.types import Completion, Turn


@dataclass(frozen=True)
class Acted:
    """An agent's work on a question.

    Args:
        text: its last answer, which is judged.
        turns: all that it and its tools said, for the record of the lesson.
        score: what its own environment makes of the answer, in [0, 1]; it then takes the place of a verdict. `None`
            leaves that to the verifier.
        finished: false where the agent was stopped at a limit of its own, before it had answered.
    """

    text: str
    turns: tuple[Turn, ...] = ()
    score: float | None = None
    finished: bool = True


def called_part(agent: Any) -> Callable[..., Any]:
    """Return what is called of an agent: its method `act` where it has one, else the agent itself."""
    act = getattr(agent, "act", None)
    return act if callable(act) else agent


def can_act(agent: Any) -> bool:
    """Return whether something is an agent: it has a method `act`, or can be called."""
    return callable(called_part(agent))


def completion_of(answer: object) -> Completion:
    """Return what an agent gave back, text or `Acted`, as a completion; tokens that it does not count are estimated.

    Raises:
        ValueError: when it is neither, or its parts are not what they should be.
    """
    if isinstance(answer, str):
        return Completion(answer, (), None, "stop", reported_tokens=estimated_tokens(answer))
    if not isinstance(answer, Acted):
        raise ValueError(f"returned {type(answer).__name__}, expected str")
    if not isinstance(answer.text, str):
        raise ValueError(f"returned Acted with a text of type {type(answer.text).__name__}, expected str")
    turns = tuple(answer.turns)
    if strange := [turn for turn in turns if not isinstance(turn, Turn)]:
        raise ValueError(f"returned Acted with a turn of type {type(strange[0]).__name__}, expected Turn")
    own = [turn for turn in turns if turn.role == "assistant"]
    tokens = sum(turn.tokens or estimated_tokens(turn.text) for turn in own) if own else estimated_tokens(answer.text)
    end: Literal["stop", "length"] = "stop" if answer.finished else "length"
    return Completion(answer.text, (), None, end, reported_tokens=tokens, turns=turns, score=_score(answer.score))


def _score(score: Any) -> float | None:
    if score is None:
        return None
    if isinstance(score, bool) or not isinstance(score, int | float) or not isfinite(score) or not 0 <= score <= 1:
        raise ValueError(f"returned Acted with score {score!r}, expected a number in [0, 1] or None")
    return float(score)
