"""A weight update over hosts is told by what went through each host's cable."""

from scripts.benchmarks.weights.over_network import HEADER, Update, cells
from tests.support.network_hosts import Traffic

MODEL = 1000


def test_medians_over_updates_are_told_in_models_and_the_range_over_hosts():
    updates = [
        Update((Traffic(2010, 5), Traffic(10, 1000), Traffic(1000, 1000)), 3.0),
        Update((Traffic(2000, 9), Traffic(0, 1020), Traffic(1020, 1000)), 5.0),
        Update((Traffic(9000, 9), Traffic(0, 1010), Traffic(1010, 1000)), 4.0),
    ]
    found = cells(updates, MODEL)
    assert found == ("2.01", "1.00 to 1.01", "0.00 to 1.01", "4.0")
    assert len(HEADER) == 2 + len(found)
