"""No file of the program starts a shell, or unpickles what others could have written."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from trainers.configuration.devices.placement import record_name
from trainers.paths import ROOT
from trainers.teaching.verifiers.code.stated_cases import _PlainPickle

PARTS = ("trainers", "custom_data", "scripts")
PROGRAM = [ROOT / "train.py", *(path for part in PARTS for path in sorted((ROOT / part).rglob("*.py")))]
SHELLS = {
    "os.system",
    "os.popen",
    "subprocess.getoutput",
    "subprocess.getstatusoutput",
    "asyncio.create_subprocess_shell",
}
LOADERS = {"pickle.load", "pickle.loads", "pickle.Unpickler", "joblib.load", "dill.load", "dill.loads", "marshal.loads"}
OF_OURSELVES = {
    # An error of this process, made fit to be sent.
    "trainers/distributed.py": "pickle.loads",
    # Knows no names, which is tested below.
    "trainers/teaching/verifiers/code/stated_cases.py": "pickle.Unpickler",
}
HOSTILE = (
    "../../etc/passwd",
    "a; rm -rf ~",
    "$(touch x)",
    "`id`",
    "-rf",
    "a\nb",
    "a b",
    "|sh",
    "é'\"",
    "..",
    "/",
    "\0",
)


def calls(path: Path) -> Iterator[tuple[str, ast.AST, dict[str, ast.expr]]]:
    """Yield what a file calls or derives from, by dotted name, with keyword arguments."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node, {word.arg: word.value for word in node.keywords if word.arg}
        elif isinstance(node, ast.ClassDef):
            for base in node.bases:
                yield ast.unparse(base), node, {}


@pytest.mark.parametrize("path", PROGRAM, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_shell_is_started_and_nothing_of_others_is_unpickled(path: Path) -> None:
    name = path.relative_to(ROOT).as_posix()
    for called, node, words in calls(path):
        assert called not in SHELLS, f"{name}: {called}"
        assert "shell" not in words, f"{name}: {ast.unparse(node)}"
        if called in LOADERS:
            assert OF_OURSELVES.get(name) == called, f"{name}: {called}"
        if called == "torch.load":
            assert ast.unparse(words["weights_only"]) == "True", f"{name}: {ast.unparse(node)}"
        if called in ("np.load", "numpy.load"):
            assert "allow_pickle" not in words, f"{name}: {ast.unparse(node)}"
        if called == "yaml.load":
            raise AssertionError(f"{name}: yaml.safe_load knows no objects")


def test_scripts_evaluate_no_text() -> None:
    for script in (ROOT / "scripts").glob("*.sh"):
        for line in script.read_text(encoding="utf-8").splitlines():
            assert not re.match(r"\s*(eval|source <|bash -c|sh -c)\b", line), f"{script.name}: {line}"


def test_the_unpickler_of_packed_tests_knows_no_names() -> None:
    with pytest.raises(Exception, match=r"name os\.system"):
        _PlainPickle.find_class(None, "os", "system")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_a_file_beside_the_others(name: str, tmp_path: Path) -> None:
    file = tmp_path / "usage" / record_name(name)
    assert file.resolve().parent == (tmp_path / "usage").resolve()
    assert re.fullmatch(r"[A-Za-z0-9._-]+\.json", file.name)
