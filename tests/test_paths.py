"""One module knows where the project's files lie."""

import re

import pytest

from trainers import paths

COUNTED = re.compile(r"__file__\)[\w.()]*\.parent(s\[|\.parent)")
FOLDERS = ("trainers", "custom_data", "scripts", "examples", "tests")


def test_no_other_module_counts_directories_up_to_the_root():
    sources = [path for folder in FOLDERS for path in (paths.ROOT / folder).rglob("*.py")]
    counting = [path for path in sources if COUNTED.search(path.read_text(encoding="utf-8"))]
    assert counting == [paths.ROOT / "trainers" / "paths.py"]


def test_resources_of_a_checkout_lie_at_its_top():
    assert paths.resource("configs", "train.yaml") == paths.ROOT / "configs" / "train.yaml"
    assert paths.resource("accelerate", "deepspeed_zero1.yaml").is_file()


@pytest.mark.parametrize(("inherited", "expected"), [({}, []), ({"PYTHONPATH": "/a:/b"}, ["/a", "/b"])])
def test_processes_import_our_packages_and_what_their_parent_does(inherited, expected):
    assert paths.python_path(inherited).split(":") == [str(paths.ROOT), *expected]
