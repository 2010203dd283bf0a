"""A committed copy of the fields of TRL's configuration classes, so that composing a run imports neither TRL nor torch.

`python -m trainers.configuration.snapshot` writes it anew from the installed TRL; a test keeps the two equal.
"""

from __future__ import annotations

import dataclasses
import enum
import importlib
import inspect
import json
import logging
import typing
from pathlib import Path
from typing import Any

PATH = Path(__file__).with_name("trl_fields.json")
CLASSES = ("SFTConfig", "GRPOConfig")
logger = logging.getLogger(__name__)


def read() -> dict[str, dict[str, dict[str, Any]]]:
    """Return the fields by class and name: `type`, `default` and, for enumerations and documented sets, `choices`."""
    return json.loads(PATH.read_text(encoding="utf-8"))["classes"]


def take() -> dict[str, Any]:
    """Return the same description, taken from the installed TRL (imports torch, several seconds)."""
    trl = importlib.import_module("trl")
    return {"trl": trl.__version__, "classes": {name: _fields(getattr(trl, name)) for name in CLASSES}}


def render(description: dict[str, Any]) -> str:
    """Return it as JSON with one field per line, so that a change of TRL reads as a diff."""
    blocks = []
    for name, fields in description["classes"].items():
        lines = ",\n".join(f"      {json.dumps(key)}: {json.dumps(value)}" for key, value in fields.items())
        blocks.append(f"    {json.dumps(name)}: {{\n{lines}\n    }}")
    return f'{{\n  "trl": {json.dumps(description["trl"])},\n  "classes": {{\n' + ",\n".join(blocks) + "\n  }\n}\n"


def _fields(config_class: type) -> dict[str, dict[str, Any]]:
    return {field.name: _field(field) for field in dataclasses.fields(config_class) if field.init}


def _field(field: dataclasses.Field[Any]) -> dict[str, Any]:
    default = field.default_factory() if callable(field.default_factory) else field.default
    choices = _members(field.type) or list(field.metadata.get("choices", ()))
    entry = {"type": inspect.formatannotation(field.type), "default": getattr(default, "value", default)}
    return {**entry, "choices": choices} if choices else entry


def _members(annotation: Any) -> list[str]:
    """Return the values of the enumerations inside an annotation."""
    parts = [annotation, *typing.get_args(annotation)]
    enumerations = (part for part in parts if isinstance(part, type) and issubclass(part, enum.Enum))
    return [str(member.value) for enumeration in enumerations for member in enumeration]


def main() -> None:
    """Write the snapshot."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    PATH.write_text(render(take()), encoding="utf-8")
    logger.info("wrote %s", PATH)


if __name__ == "__main__":
    main()
