"""A trainer that connects to its servers gives weight updates the deadline of requests."""

from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest

from tests.support.data_configs import run_config


@pytest.mark.slow
def test_the_deadline_of_requests_is_that_of_weight_updates_too(monkeypatch):
    # Importing TRL takes seconds, which collecting tests need not spend.
    from trainers import teacher_grpo

    teacher = SimpleNamespace(base_url="http://127.0.0.1:8765", weight_transfer="gloo")
    for name in ("connect_pool", "connect_students", "RolloutRunner", "account_of"):
        monkeypatch.setattr(teacher_grpo, name, MagicMock())
    monkeypatch.setattr(teacher_grpo, "build_lessons", lambda *_: (MagicMock(), None))
    monkeypatch.setattr(teacher_grpo, "layout_of", lambda *_: [teacher])
    monkeypatch.setattr(teacher_grpo.WeightSync, "connect", lambda _: None)
    config = run_config("teacher_grpo", request_timeout_s=77.0)
    _, sync = teacher_grpo.connect_servers(config, MagicMock())
    assert (sync._control.timeout_s, sync._transport._timeout_s) == (77.0, 77.0)
