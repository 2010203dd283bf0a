"""Files of long tests are begun first."""

from types import SimpleNamespace

from tests.support.longest_first import LONGEST, longest_first
from trainers.paths import ROOT


def test_the_files_named_are_there():
    assert [name for name in LONGEST if not (ROOT / "tests" / name).is_file()] == []
    assert len(set(LONGEST)) == len(LONGEST)


def test_long_files_come_first_and_all_else_keeps_its_order():
    names = ("test_paths.py", LONGEST[1], "test_gpu.py", LONGEST[0], LONGEST[1], "test_paths.py")
    items = [SimpleNamespace(path=ROOT / "tests" / name, place=place) for place, name in enumerate(names)]
    assert [item.place for item in longest_first(items)] == [3, 1, 4, 0, 2, 5]
