"""Notebooks: what is committed comes from its source and ran; tests/runs/test_quickstart.py runs the sources."""

import ast
import re
import sys

import nbformat
import pytest

from examples.build_notebooks import PLACEHOLDER, ROOT, SOURCES, read_source, repository
from examples.demo_models import choose
from trainers.launch.estimates.model_sizes import KNOWN, shape_of


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
    # A teacher and a world that have grown apart from the notebook still run, and help nobody.
    printed = "".join(output.text for output in outputs if output.output_type == "stream")
    lowest = re.search(r"gain +[+-][\d.]+ \[([+-][\d.]+), ", printed)
    assert lowest is not None
    assert float(lowest[1]) > 0


COLAB_HAS = {
    *(
        "IPython",
        "datasets",
        "huggingface_hub",
        "jinja2",
        "matplotlib",
        "numpy",
        "pyarrow",
        "pydantic",
        "pydantic_core",
    ),
    *("annotated_types", "rich", "psutil", "tokenizers", "torch", "yaml", "safetensors"),
}
"""Packages of a fresh Colab machine that the notebooks use, beside the standard library."""
BRINGS = {"hydra-core": {"hydra", "omegaconf"}, "math-verify": {"math_verify", "latex2sympy2_extended", "sympy"}}


def imported(name):
    """Packages that are imported with a notebook's modules, and with theirs in turn, and are not ours."""
    modules = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for folder in ("trainers", "custom_data", "examples")
        for path in (ROOT / folder).rglob("*.py")
    }
    found, todo, seen = set(), [f"examples.{name}"], set()
    while todo:
        module = todo.pop()
        if module in seen or module not in modules:
            continue
        seen.add(module)
        todo += [module.rpartition(".")[0]]
        tree = ast.parse(modules[module].read_text(encoding="utf-8").replace("await ", ""))
        for named in at_import(tree):
            todo += [named, named.rpartition(".")[0]]
            if named.partition(".")[0] not in ("trainers", "custom_data", "examples"):
                found.add(named.partition(".")[0])
    return found - set(sys.stdlib_module_names)


def at_import(tree):
    """Names of what a module imports when it is imported itself."""
    for node in tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("name", SOURCES)
def test_colab_is_given_every_package_that_it_lacks(name):
    """A list of what Colab has stands for Colab itself, where this has not been run."""
    line = re.search(r'"pip install -q ([^"]*)"', (ROOT / "examples" / f"{name}.py").read_text())[1]
    installed = {word.strip("'").partition("==")[0] for word in line.split()}
    given = {name for package in installed for name in BRINGS.get(package, {package})}
    lacking = imported(name) - COLAB_HAS - given
    assert not lacking
    assert "msgspec" in imported(name), "this test no longer finds what it was written for"


@pytest.mark.parametrize(
    ("memory_gib", "teacher", "student", "weights_gib"),
    [
        (79, "ours", "Qwen/Qwen3-4B-Instruct-2507", 23),
        (39.5, "ours", "Qwen/Qwen3-4B-Instruct-2507", 23),
        (22.1, "ours", "Qwen/Qwen3-0.6B", 16.5),
        (14.7, "Qwen/Qwen3-1.7B", "Qwen/Qwen3-0.6B", 4.4),
    ],
    ids=["A100 80 GB", "A100 40 GB", "L4", "T4"],
)
def test_a_card_is_given_models_that_it_holds_with_their_caches(memory_gib, teacher, student, weights_gib):
    chosen = choose("ours", memory_gib)
    assert (chosen.teacher, chosen.student) == (teacher, student)
    longest = 2048 + 2048 + 500
    caches = 0
    for model in (chosen.teacher, chosen.student):
        known = {"ours": "Qwen/Qwen3-8B", "Qwen/Qwen3-4B-Instruct-2507": "Qwen/Qwen3-4B"}.get(model, model)
        caches += chosen.batch_size * longest * shape_of(KNOWN[known]).cache_per_token / 2**30
    # Half a GiB for CUDA, and the logits of a step.
    assert weights_gib + caches + 0.5 < memory_gib


def test_what_models_write_is_escaped():
    from examples.side_by_side import side_by_side
    from trainers.teaching.adaptive import Guidance, GuidedAnswer
    from trainers.teaching.lesson import Solution

    hostile = "<script>alert(1)</script>"
    solution = Solution(hostile, 3, False, None, True, None)
    page = side_by_side([GuidedAnswer(Guidance(hostile, hostile, hostile, hostile, 5), solution, solution)])
    assert "<script>" not in page
    assert page.count("&lt;script&gt;") == 6
