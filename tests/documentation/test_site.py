"""The site of the documentation builds in strict mode from sources alone, and its pages need no other host."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.documentation.test_api_reference import NAMES
from tests.support.install_sandbox import copy_project, executable, installed
from trainers.paths import ROOT

WITHOUT_TORCH = """
import sys
sys.modules.update(dict.fromkeys(["torch", "transformers", "trl", "vllm"]))  # importing one is an error now
from mkdocs.__main__ import cli
cli(sys.argv[1:])
"""
FOREIGN = re.compile(r"<(?:script|link|img|iframe|source)\b[^>]*?(?:src|href)=[\"']?(?:https?:)?//[^>]*>")
SMALL_SITE = {
    "site_name": "small",
    "plugins": [],
    "theme": "mkdocs",
    "hooks": [str(ROOT / "scripts/site_pages.py")],
    "not_in_nav": "/repository/",
    "validation": {"anchors": "warn"},
}


def build(project: Path, site: Path) -> subprocess.CompletedProcess[str]:
    """Run MkDocs in strict mode where the heavy libraries cannot be imported."""
    # Not --quiet: warnings that are not shown are not counted either.
    command = [sys.executable, "-c", WITHOUT_TORCH, "build", "--strict", "--site-dir", str(site)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("site")
    done = build(ROOT, directory)
    assert done.returncode == 0, done.stdout + done.stderr
    return directory


@pytest.mark.slow
def test_readme_is_its_front_page_and_linked_files_have_pages(site: Path):
    front = (site / "index.html").read_text()
    assert 'href="getting-started/quickstart.html"' in front
    assert 'href="repository/LICENSE.html"' in front
    assert (site / "repository/examples/math_reasoning_demo.ipynb").is_file()
    assert "class AdaptiveTeachingReward" in strip_tags(
        (site / "repository/trainers/teaching/reward.py.html").read_text()
    )


@pytest.mark.slow
def test_every_name_of_the_api_reference_is_described_from_its_docstring(site: Path):
    described = "".join(path.read_text() for path in (site / "api-reference").glob("*.html"))
    assert [name for name in NAMES if f'id="{name}"' not in described] == []
    # From the docstring of a parameter, which no page repeats.
    assert "budget of the student's approach" in strip_tags(described)


@pytest.mark.slow
def test_pages_load_nothing_from_other_hosts(site: Path):
    pages = list(site.rglob("*.html"))
    assert len(pages) > 40
    assert {tag for page in pages for tag in FOREIGN.findall(page.read_text())} == set()
    styles = "".join(path.read_text() for path in site.rglob("*.css"))
    assert re.findall(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//[^)\s]+", styles) == []


@pytest.mark.parametrize(
    ("readme", "page", "complaint"),
    [
        ("[a page](docs/page.md#part) [code](code.py)", "# Page\n\n## Part\n\n[code](../code.py)", None),
        ("[a page](docs/pages.md)", "# Page", "docs/pages.md"),
        ("[a page](docs/page.md#other)", "# Page\n\n## Part", "#other"),
        ("# Front", "# Page\n\n[code](../lost.py)", "../lost.py"),
    ],
    ids=["sound", "lost page", "lost anchor", "lost source"],
)
def test_links_that_lead_nowhere_fail_the_build(tmp_path: Path, readme: str, page: str, complaint: str | None):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/page.md").write_text(page)
    (tmp_path / "README.md").write_text(readme)
    (tmp_path / "code.py").write_text("print('[no link](nowhere.md)')\n")
    (tmp_path / "mkdocs.yml").write_text(yaml.safe_dump(SMALL_SITE))
    done = build(tmp_path, tmp_path / "site")
    assert (done.returncode == 0) == (complaint is None), done.stderr
    assert complaint is None or complaint in done.stderr
    if complaint is None:
        assert "[no link](nowhere.md)" in strip_tags((tmp_path / "site/repository/code.py/index.html").read_text())


@pytest.mark.parametrize(("arguments", "expected"), [([], "build --strict"), (["serve"], "serve --strict")])
def test_one_command_builds_it_in_strict_mode(tmp_path: Path, arguments: list[str], expected: str):
    project = copy_project(tmp_path)
    installed(project, "cpu")
    executable(project / ".venv/bin/python", '#!/bin/sh\n[ "$1" = -c ] && echo 3.11 || echo "ran: $*"\n')
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    command = ["bash", "scripts/docs.sh", *arguments]
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == f"ran: -m mkdocs {expected}", done.stderr


def strip_tags(html: str) -> str:
    return re.sub(r"<[^>]+>", "", html)
