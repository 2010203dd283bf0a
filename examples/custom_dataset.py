"""A dataset with rows of a shape of its own, read by one function.

    {"id": 7, "task": {"text": "Solve 2x = 6.", "hints": ["divide"]}, "key": "x = 3", "grade": 8}

The function gives a row with names that ATLAS knows; further columns travel with the question, for verifiers and for
lessons. Rows it returns `None` for, or fails on, are bad rows. Look at a file with

    python examples/custom_dataset.py rows.jsonl

and use it with `row_reader=examples.custom_dataset.read_row`, and `row_reader_args.mark=:` where answers stand behind
colons, or in a YAML file: docs/guides/data-requirements.md.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any


def read_row(row: Mapping[str, Any], mark: str = "=") -> dict[str, Any] | None:
    """Question, answer and level of an exercise; none without a key. The answer is what stands behind the last mark."""
    if not row.get("key"):
        return None
    answer = row["key"].rpartition(mark)[2].strip()
    return {"question": row["task"]["text"], "answer": answer, "level": row["grade"], "hints": row["task"]["hints"]}


def main(path: str) -> None:
    """Shows how many rows of a file can be used, why not the others, and the first question."""
    from custom_data import loading
    from custom_data.tables.questions import Questions
    from trainers.configuration import compose

    reader = "row_reader=examples.custom_dataset.read_row"
    config = compose(["evaluate", "data=custom", f"dataset_id_or_path={path}", reader, "max_bad_row_ratio=1"]).config
    table = loading.load(config).evaluation
    assert table is not None
    sys.stdout.write("\n".join([*table.reading.lines(), repr(Questions(table)[0]), ""]))


if __name__ == "__main__":
    sys.path.insert(0, ".")
    main(sys.argv[1])
