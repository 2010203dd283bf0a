"""The declaration of a key: its default, its meaning, its bounds, and what else is known of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field

Number = int | float
"""A number as it was written, so that `1` is shown as 1 again."""


class Resume(StrEnum):
    """The bearing of a key on continuing a run that was begun with another value of it."""

    SHAPES = "shapes what is learned: it must be the same"
    LENGTH = "says how long a run is: it may grow"
    EVALUATION = "says how a run is evaluated: free, unless the learning rate follows the evaluations"
    FREE = "says where and how, not what is learned: free"


class EvaluationResume(StrEnum):
    """The bearing of a key on continuing an evaluation."""

    COMPARED = "says how lessons are made: it must be the same"
    FREE = "may change: lessons are kept by teacher and question"


@dataclass(frozen=True)
class Facts:
    """Facts that the program must know of a key besides its type, default and meaning.

    Args:
        resume: how it bears on continuing a training.
        parts: how it bears on continuing an evaluation.
        required: whether an experiment that has the key needs a value.
        computed: whether composing computes it, so that users do not set it.
        secret: whether it is never written down; it is taken from the environment.
        speed: whether the seconds and tokens of a step depend on it.
        reported: whether the results of an evaluation state it.
        in_card: whether the table of a model card may state it.
        selects_rows: whether it chooses among the rows of a dataset.
        fits_prompts: whether it bounds the length of prompts.
        needs: the switch without which it has no effect.
        fixed: why it stays at its default, where nothing else can work.
        of_api: whether only a model behind an API has it.
        of_server: whether only a judge with a server of its own has it.
        placeholders: of a template, those it must have.
        optional_placeholders: of a template, those it may have besides.
    """

    resume: Resume = Resume.SHAPES
    parts: EvaluationResume = EvaluationResume.COMPARED
    required: bool = False
    computed: bool = False
    secret: bool = False
    speed: bool = False
    reported: bool = False
    in_card: bool = True
    selects_rows: bool = False
    fits_prompts: bool = False
    needs: str | None = None
    fixed: str | None = None
    of_api: bool = False
    of_server: bool = False
    placeholders: tuple[str, ...] = ()
    optional_placeholders: tuple[str, ...] = ()


class Settings(BaseModel):
    """The settings of one component: frozen, strict about types, and importable without torch.

    Its flat keys, as they stand in recipes, are the names of its fields behind `prefix`.
    """

    prefix: ClassVar[str] = ""

    @classmethod
    def from_flat(cls, keys: Mapping[str, Any]) -> Self:
        """Build the settings from flat keys, of which others may stand among them.

        Raises:
            pydantic.ValidationError: for a value that its key does not take.
        """
        return cls.model_validate({name: keys[cls.prefix + name] for name in cls.model_fields})

    model_config = ConfigDict(
        frozen=True, strict=True, extra="forbid", allow_inf_nan=False, protected_namespaces=(), defer_build=True
    )


def key(
    default: Any,
    doc: str,
    *,
    ge: float | None = None,
    gt: float | None = None,
    le: float | None = None,
    lt: float | None = None,
    **facts: Any,
) -> Any:
    """Declare a key: the default, its meaning in a sentence, bounds of numbers, and `Facts` by name."""
    known = {"facts": Facts(**facts)}
    return Field(default, description=doc, ge=ge, gt=gt, le=le, lt=lt, json_schema_extra=known)  # type: ignore[arg-type]


def trl_key(default: Any, **options: Any) -> Any:
    """Declare a key that is an argument of TRL's, where its meaning is documented."""
    return key(default, "", **options)
