"""The report on teachers that were shown other probes."""

from scripts.benchmarks.learning.probe_swaps import ARMS, table


def test_the_table_has_every_probe_over_all_seeds_and_by_seed():
    right = {arm: [[1.0, 0.0], [0.0, 0.0]] for arm in ARMS}
    better = right | {"own": [[1.0, 1.0], [1.0, 1.0]]}
    rows = {line.split(" | ")[0].strip("| "): line for line in table({3: right, 4: better}).markdown().splitlines()}
    assert rows["probe"] == "| probe | accuracy | seed 3 | seed 4 |"
    own = rows["the student's own probe"]
    assert "| 62.5% [" in own
    assert own.endswith("| 25.0% | 100.0% |")
    assert rows["no probe"].endswith("| 25.0% | 25.0% |")
    assert len(rows) == len(ARMS) + 2
