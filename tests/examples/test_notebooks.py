"""Notebooks: what is committed comes from its source and ran; tests/runs/test_quickstart.py runs the sources."""

import nbformat
import pytest

from examples.build_notebooks import PLACEHOLDER, ROOT, SOURCES, read_source, repository


@pytest.mark.parametrize("name", SOURCES)
def test_the_notebook_is_its_source_executed(name):
    notebook = nbformat.read(ROOT / "examples" / f"{name}.ipynb", as_version=4)
    nbformat.validate(notebook)
    source = read_source(name)

    def texts(cells):
        return [(cell.cell_type, cell.source.replace(repository(), PLACEHOLDER)) for cell in cells]

    assert texts(notebook.cells) == texts(source.cells), f"run: python -m examples.build_notebooks {name}"
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert {"stream", "execute_result"} <= {output.output_type for output in outputs}
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert str(ROOT) not in nbformat.writes(notebook)


def test_what_models_write_is_escaped():
    from examples.side_by_side import side_by_side
    from trainers.teaching.adaptive import Guidance, GuidedAnswer
    from trainers.teaching.lesson import Solution

    hostile = "<script>alert(1)</script>"
    solution = Solution(hostile, 3, False, None, True, None)
    page = side_by_side([GuidedAnswer(Guidance(hostile, hostile, hostile, hostile, 5), solution, solution)])
    assert "<script>" not in page
    assert page.count("&lt;script&gt;") == 6
