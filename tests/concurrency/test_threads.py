"""Work in threads: something short is done again and again for as long as one is inside, and not after that."""

from __future__ import annotations

import threading
import time

import pytest

from trainers.concurrency.threads import repeating


def test_work_is_repeated_while_one_is_inside_and_no_more() -> None:
    third, done = threading.Event(), []

    def work() -> None:
        done.append(None)
        if len(done) == 3:
            third.set()

    with repeating(work, 0.01):
        assert third.wait(30)
    counted = len(done)
    time.sleep(0.05)
    assert len(done) == counted


def test_it_ends_with_what_is_raised_inside() -> None:
    before = threading.active_count()
    with pytest.raises(ZeroDivisionError), repeating(lambda: None, 60.0):
        raise ZeroDivisionError
    assert threading.active_count() == before
