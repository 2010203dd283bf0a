"""Makes the notebooks from their sources, executed: `python -m examples.build_notebooks` (see examples/README.md).

The sources are the Python files beside the notebooks. What the quickstart has trained must be in `results/quickstart`,
or in the directory that `ATLAS_DEMO_WORKSPACE` names. Badges and the cell that fetches the project on Colab get the
GitHub address of the checkout's origin; without one they say OWNER/ATLAS.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys

import jupytext
import nbformat
from nbclient import NotebookClient

from trainers.paths import ROOT

SOURCES = ("math_reasoning_demo", "code_generation_demo")
TIMEOUT_S = 900
PLACEHOLDER = "OWNER/ATLAS"


def repository() -> str:
    """Owner and name of the checkout's origin on GitHub, or the placeholder."""
    asked = ["git", "-C", str(ROOT), "remote", "get-url", "origin"]
    address = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
    found = re.fullmatch(r"(?:https://github\.com/|git@github\.com:)([\w.-]+/[\w.-]+?)(?:\.git)?/?", address)
    return found[1] if found else PLACEHOLDER


def read_source(name: str) -> nbformat.NotebookNode:
    """A notebook without outputs, its cells numbered, so that building it twice gives the same file."""
    source = (ROOT / "examples" / f"{name}.py").read_text(encoding="utf-8").replace(PLACEHOLDER, repository())
    notebook = jupytext.reads(source, fmt="py:percent")
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"
    return notebook


def execute(notebook: nbformat.NotebookNode) -> None:
    """Run every cell from the project's root; progress bars and other messages are not kept.

    Raises:
        nbclient.exceptions.CellExecutionError: with the cell and its traceback.
    """
    NotebookClient(notebook, timeout=TIMEOUT_S, resources={"metadata": {"path": str(ROOT)}}).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]


def without_paths(text: str) -> str:
    """Text in which this machine's directories do not show."""
    return re.sub(re.escape(str(ROOT)) + "/?", "", text)


def main(names: tuple[str, ...]) -> None:
    """Build the named notebooks, or all of them."""
    os.environ.setdefault("ATLAS_DEMO", "world")
    for name in names or SOURCES:
        notebook = read_source(name)
        execute(notebook)
        text = without_paths(nbformat.writes(notebook))
        (ROOT / "examples" / f"{name}.ipynb").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(tuple(sys.argv[1:]))
