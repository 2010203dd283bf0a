"""Tables of the pages, made from recorded data: `python -m scripts.benchmarks.tools.recorded_tables` writes them anew.

A page has a table between `<!-- table: NAME -->` and `<!-- end of table -->`, which is made from the file
docs/benchmarks/data/NAME.json. Such a file says when, at which commit, on what and by which command it was recorded
(`date`, `commit`, `machine`, `command`), and has either `columns` and `rows`, as `Benchmark.finish` writes them, or the
`arms` of an evaluation's summary.json. `<!-- table: NAME rows=accuracy,leak_rate arms=GRPO -->` chooses among them.
A number in a sentence is tied to the data by `<!-- number: NAME/ROW/COLUMN -->` in front of it, counted from 0, and one
that is equal by chance is told apart by `<!-- another number -->`.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from trainers.confidence_intervals import UNKNOWN, Estimate
from trainers.evaluation.reports.results_table import ROWS, ResultsTable, cell, questions
from trainers.paths import ROOT

DATA = ROOT / "docs" / "benchmarks" / "data"
PROVENANCE = ("date", "commit", "machine", "command")
END = "<!-- end of table -->"
_TABLE = re.compile(rf"<!-- table: (?P<name>[\w-]+)(?P<choice>[^\n]*?) -->\n(?P<text>.*?){END}", re.DOTALL)
_TIED = re.compile(r"<!-- number: (?P<name>[\w-]+)/(?P<row>\d+)/(?P<column>\d+) -->(?P<text>[\d.,]*\d%?)")
_NO_PROSE = re.compile(r"^```.*?^```|^\|[^\n]*\n|`[^`\n]*`", re.DOTALL | re.MULTILINE)
_ANOTHER = re.compile(r"<!-- another number -->[\d.,]*\d%?")
_NUMBER = re.compile(r"(?<![\w.,])\d[\d,]*(?:\.\d+)?%?(?![\w.,]?\d)")
FEWEST_DIGITS = 3
"""Digits that make a fraction, a percentage or a number with a comma one of its own: others are equal by chance."""


@dataclass(frozen=True)
class Named:
    """A number in a sentence, and the page that it is on."""

    page: str
    number: str


def pages() -> list[Path]:
    """Return all pages that may have tables."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


@cache
def recorded(name: str) -> Mapping[str, Any]:
    """Return what was recorded under a name.

    Raises:
        ValueError: when the file does not say where its numbers come from.
    """
    data = json.loads((DATA / f"{name}.json").read_text(encoding="utf-8"))
    missing = [key for key in PROVENANCE if key not in data]
    if missing:
        raise ValueError(f"{name}.json does not say its {', '.join(missing)}; null says that it is not known")
    return data


def table(name: str, choice: str = "") -> ResultsTable:
    """Return the table of a name; `choice` is what stands behind the name in a page."""
    data = recorded(name)
    if "arms" in data:
        return _of_arms(data["arms"], dict(word.split("=") for word in choice.split()))
    return ResultsTable("", tuple(data["columns"]), tuple(map(tuple, data["rows"])))


def _of_arms(arms: Sequence[Mapping[str, Any]], choice: Mapping[str, str]) -> ResultsTable:
    chosen = choice["arms"].split(",") if "arms" in choice else [arm["name"] for arm in arms]
    shown = [arm for name in chosen for arm in arms if arm["name"] == name]
    rows = []
    for measure in choice["rows"].split(",") if "rows" in choice else ROWS:
        found = [_estimate(arm.get(measure)) for arm in shown]
        if any(found):
            rows.append((ROWS[measure].label, *(cell(each, ROWS[measure]) for each in found), questions(found)))
    return ResultsTable("", ("", *(arm["name"] for arm in shown), "questions"), tuple(rows))


def _estimate(numbers: Mapping[str, Any] | None) -> Estimate | None:
    if numbers is None:
        return None
    return Estimate(**numbers) if numbers["mean"] is not None else UNKNOWN


def written(text: str) -> str:
    """Return a page with its tables, and the numbers that are tied to data, as they are recorded."""

    def anew(found: re.Match[str]) -> str:
        head = found[0].partition("\n")[0]
        return f"{head}\n{table(found['name'], found['choice']).markdown()}{END}"

    def number(found: re.Match[str]) -> str:
        shown = recorded(found["name"])["rows"][int(found["row"])][int(found["column"])]
        return f"{found[0].removesuffix(found['text'])}{shown}"

    return _TIED.sub(number, _TABLE.sub(anew, text))


def untied(texts: Mapping[str, str]) -> Iterator[Named]:
    """Yield the numbers in sentences that are those of a table of the same page, and tied to nothing."""
    for page, text in texts.items():
        of_tables = set(_numbers(found["text"] for found in _TABLE.finditer(text)))
        prose = _ANOTHER.sub("", _TIED.sub("", _NO_PROSE.sub("", text)))
        yield from (Named(page, number) for number in dict.fromkeys(_numbers([prose])) if number in of_tables)


def _numbers(texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        for number in _NUMBER.findall(text):
            if re.search(r"[.,%]", number) and len(re.sub(r"\D", "", number).lstrip("0")) >= FEWEST_DIGITS:
                yield number


def main() -> None:
    """Write all pages anew."""
    for page in pages():
        text = page.read_text(encoding="utf-8")
        if (new := written(text)) != text:
            page.write_text(new, encoding="utf-8")
            sys.stdout.write(f"{page.relative_to(ROOT)}\n")


if __name__ == "__main__":
    main()
