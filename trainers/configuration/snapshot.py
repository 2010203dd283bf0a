"""A committed copy of the fields of TRL's configuration classes, so that composing a run imports neither TRL nor torch.

`python -m trainers.configuration.snapshot` writes it anew from the installed TRL; a test keeps the two equal.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import logging
from pathlib import Path
from typing import Any

from trainers.configuration.annotations import describe, members

PATH = Path(__file__).with_name("trl_fields.json")
CLASSES = ("SFTConfig", "GRPOConfig")
logger = logging.getLogger(__name__)


def read() -> dict[str, dict[str, dict[str, Any]]]:
    """Class name → field name → `type`, `default` and, for enumerations and documented sets, `choices`."""
    return json.loads(PATH.read_text(encoding="utf-8"))["classes"]


def take() -> dict[str, Any]:
    """The same description, taken from the installed TRL (imports torch, several seconds)."""
    trl = importlib.import_module("trl")
    return {"trl": trl.__version__, "classes": {name: _fields(getattr(trl, name)) for name in CLASSES}}


def render(description: dict[str, Any]) -> str:
    """JSON with one field per line, so that a change of TRL reads as a diff."""
    blocks = []
    for name, fields in description["classes"].items():
        lines = ",\n".join(f"      {json.dumps(key)}: {json.dumps(value)}" for key, value in fields.items())
        blocks.append(f"    {json.dumps(name)}: {{\n{lines}\n    }}")
    return f'{{\n  "trl": {json.dumps(description["trl"])},\n  "classes": {{\n' + ",\n".join(blocks) + "\n  }\n}\n"


def _fields(config_class: type) -> dict[str, dict[str, Any]]:
    return {field.name: _field(field) for field in dataclasses.fields(config_class) if field.init}


def _field(field: dataclasses.Field) -> dict[str, Any]:
    default = field.default_factory() if callable(field.default_factory) else field.default
    choices = members(field.type) or tuple(field.metadata.get("choices", ()))
    entry: dict[str, Any] = {"type": describe(field.type), "default": getattr(default, "value", default)}
    return {**entry, "choices": list(choices)} if choices else entry


def main() -> None:
    """Writes the snapshot."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    PATH.write_text(render(take()), encoding="utf-8")
    logger.info("wrote %s", PATH)


if __name__ == "__main__":
    main()
