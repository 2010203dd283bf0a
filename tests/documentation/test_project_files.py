"""The files by which others join the project: they parse, and what they call and promise is there."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import version

import pytest
import yaml

from tests.documentation.test_docs import SHELL_BLOCK, shell_lines
from tests.mutation.__main__ import parser as mutation_parser
from trainers.paths import ROOT

CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
LINES = [line for block in SHELL_BLOCK.findall(CONTRIBUTING) for line in shell_lines(block)]
PYTEST_COMMANDS = [shlex.split(line, comments=True) for line in LINES if line.startswith("python -m pytest")]
HOOKS = [
    hook
    for repository in yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    for hook in repository["hooks"]
]
FORMS = sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml"))


def tracked() -> list[str]:
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    return listed.stdout.splitlines()


@pytest.mark.slow
@pytest.mark.parametrize(
    "command", [words for words in PYTEST_COMMANDS if "tests/" in shlex.join(words)], ids=shlex.join
)
def test_commands_of_contributing_that_name_a_file_choose_tests_of_it(command):
    words = [sys.executable, *command[1:], "--collect-only"]
    chosen = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert chosen.returncode == 0, chosen.stdout[-2000:] + chosen.stderr[-2000:]


def test_marks_in_contributing_are_declared():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["pytest"]["ini_options"]
    declared = {line.partition(":")[0] for line in settings["markers"]}
    chosen = [words[words.index("-m", 2) + 1] for words in PYTEST_COMMANDS if "-m" in words[2:]]
    assert len(chosen) >= 3
    assert set(re.findall(r"\w+", " ".join(chosen))) - {"and", "not", "or"} <= declared


def test_contributing_shows_how_to_test_at_every_size():
    assert len(PYTEST_COMMANDS) >= 4
    assert LINES[0].startswith("bash scripts/test.sh")


def test_the_checks_of_contributing_and_of_the_hooks_are_those_of_the_script():
    script = (ROOT / "scripts/test.sh").read_text(encoding="utf-8")
    checks = re.findall(r'^check "(?:style|format|types)" (.+)$', script, re.MULTILINE)
    assert " && ".join(checks) in LINES
    entries = [hook["entry"].replace(" --force-exclude", "") for hook in HOOKS]
    assert [check.removesuffix(" .") for check in checks] == entries[:3]


@pytest.mark.parametrize("hook", HOOKS, ids=lambda hook: hook["id"])
def test_hooks_are_local_and_run_what_exists(hook):
    assert hook["language"] == "system"  # the tools of the lock, not others
    for word in shlex.split(hook["entry"]):
        assert not word.startswith("tests/") or (ROOT / word).is_file()
    if "files" in hook:
        assert [path for path in tracked() if re.search(hook["files"], path)]


def test_the_hook_of_notebooks_tests_each_of_them():
    [hook] = [hook for hook in HOOKS if hook["id"] == "notebooks"]
    command = [sys.executable, *shlex.split(hook["entry"])[1:]]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    notebooks = [path for path in tracked() if path.endswith(".ipynb")]
    assert ran.returncode == 0, ran.stdout
    assert f"{len(notebooks)} passed" in ran.stdout
    assert all(re.search(hook["files"], path) for path in notebooks)


def test_the_workflow_runs_the_script_that_ci_runs():
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
    [job] = workflow["jobs"].values()
    assert [step["run"] for step in job["steps"] if "run" in step] == ["bash .ci/run"]
    assert (ROOT / ".ci/run").is_file()
    installers = {f"scripts/install_py{python.replace('.', '')}.sh" for python in job["strategy"]["matrix"]["python"]}
    assert installers == {path for path in tracked() if re.fullmatch(r"scripts/install_py\d+\.sh", path)}
    assert workflow[True].keys() == {"push", "pull_request"}  # YAML reads the key "on" so


@pytest.fixture
def ci(tmp_path):
    """The script of CI in a repository of its own, whose checks tell what they were started with."""
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci/run", tmp_path / ".ci/run")
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts/test.sh").write_text('echo "CI=$CI seed $ATLAS_TEST_SEED: $*"\n')
    chromium = tmp_path / "bin/chromium"
    chromium.parent.mkdir()
    chromium.touch(mode=0o755)
    return tmp_path


def surroundings(ci, **variables):
    """Return an environment in which git knows of no other repository, as in a hook, and nobody has set a seed."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "ATLAS_TEST_SEED"))}
    path = f"{ci / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return kept | {"PATH": path, "GIT_CEILING_DIRECTORIES": str(ci.parent), **variables}


def told_by_ci(ci, **variables):
    """Return what the script says."""
    command = ["bash", ci / ".ci/run", "-q", "-k", "two words"]
    done = subprocess.run(command, env=surroundings(ci, **variables), capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_ci_shuffles_by_the_commit_unless_it_is_told_a_seed(ci):
    def git(*words):
        named = ["git", "-c", "user.name=n", "-c", "user.email=e", "-c", "commit.gpgsign=false", "-C", ci, *words]
        done = subprocess.run(named, env=surroundings(ci), capture_output=True, text=True, check=True)
        return done.stdout

    git("init", "-q")
    git("commit", "-q", "--allow-empty", "-m", "first")
    seed = int(git("rev-parse", "HEAD")[:7], 16)
    shown = [f"Tests in the order of ATLAS_TEST_SEED={seed}", f"CI=true seed {seed}: -q -k two words"]
    assert told_by_ci(ci) == told_by_ci(ci) == shown
    assert told_by_ci(ci, ATLAS_TEST_SEED="7")[1] == "CI=true seed 7: -q -k two words"
    # What is no repository has an order too.
    shutil.rmtree(ci / ".git")
    assert told_by_ci(ci)[1] == "CI=true seed 0: -q -k two words"
    assert '"--randomly-seed=$ATLAS_TEST_SEED"' in (ROOT / "scripts/test.sh").read_text(encoding="utf-8")


def test_the_week_has_an_order_of_its_own_and_mutants_of_its_own():
    weekly = yaml.safe_load((ROOT / ".github/workflows/weekly.yml").read_text(encoding="utf-8"))
    shuffled, mutants = weekly["jobs"]["shuffled"], weekly["jobs"]["mutants"]
    [tests] = [step["run"] for step in shuffled["steps"] if "run" in step]
    assert tests.startswith("bash .ci/run ")
    assert '"$@"' in (ROOT / ".ci/run").read_text(encoding="utf-8").splitlines()[-1]
    assert shuffled["env"] == {"ATLAS_TEST_SEED": "${{ github.run_number }}"}
    installed, tried = [step["run"] for step in mutants["steps"] if "run" in step]
    assert (ROOT / installed.removeprefix("bash ")).is_file()
    arguments = shlex.split(tried.replace("$SEED", "7"))
    assert arguments[:3] == [".venv/bin/python", "-m", "tests.mutation"]
    assert mutation_parser().parse_args(arguments[3:]).seed == 7
    assert mutants["env"] == {"SEED": "${{ github.run_number }}"}


@pytest.mark.parametrize("form", [form for form in FORMS if form.name != "config.yml"], ids=lambda path: path.name)
def test_forms_of_issues_ask_for_what_exists(form):
    asked = yaml.safe_load(form.read_text(encoding="utf-8"))
    assert asked.keys() == {"name", "description", "labels", "body"}
    identifiers = [field["id"] for field in asked["body"]]
    assert len(set(identifiers)) == len(identifiers)
    assert any(field.get("validations", {}).get("required") for field in asked["body"])
    for script in re.findall(r"`python (scripts/[\w.]+)`", form.read_text(encoding="utf-8")):
        assert (ROOT / script).is_file()


def test_the_citation_and_the_changelog_have_the_version_of_the_package():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## (.+)$", changelog, re.MULTILINE)
    assert headings[:2] == ["[Unreleased]", f"[{citation['version']}] - {citation['date-released']}"]
    assert citation["version"] == version("atlas-teacher")
    assert f"Version {citation['version']}." in (ROOT / "README.md").read_text(encoding="utf-8")
    assert citation["license"] == "Apache-2.0"
    kinds = set(re.findall(r"^### (.+)$", changelog, re.MULTILINE))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
