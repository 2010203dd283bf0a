"""A trainer that connects to its servers: deadlines, and which of its lessons students solve."""

from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest

from tests.support.data_configs import run_config
from tests.support.fakes import ScriptedModel
from trainers.configuration import compose
from trainers.configuration.devices.machine import Machine
from trainers.training import requests_heard


@pytest.mark.slow
def test_weight_updates_have_the_deadline_of_requests_and_wait_for_servers_that_come_back(monkeypatch):
    # Importing TRL takes seconds, which collecting tests need not spend.
    from trainers import teacher_grpo

    teacher = SimpleNamespace(base_url="http://127.0.0.1:8765", weight_transfer="gloo")
    for name in ("connect_pool", "connect_students", "RolloutRunner", "account_of"):
        monkeypatch.setattr(teacher_grpo, name, MagicMock())
    monkeypatch.setattr(teacher_grpo, "build_both_lessons", lambda *_: (MagicMock(), MagicMock()))
    monkeypatch.setattr(teacher_grpo, "layout_of", lambda *_: [teacher])
    monkeypatch.setattr(teacher_grpo.WeightSync, "connect", lambda _: None)
    config = run_config("teacher_grpo", request_timeout_s=77.0)
    monkeypatch.setattr(teacher_grpo, "ServerRecords", lambda *_: SimpleNamespace(comes_back=lambda url: url == "u"))
    _, sync = teacher_grpo.connect_servers(config, MagicMock())
    assert [sync._comes_back(url) for url in ("u", "v")] == [True, False]
    # Nobody starts servers again for a run that is to end.
    monkeypatch.setattr(requests_heard, "_heard_at", None)
    requests_heard.note_request()
    assert not sync._comes_back("u")
    assert (sync._control.timeout_s, sync._transport._timeout_s) == (77.0, 77.0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mentor", "share"),
    [((), 1.0), (("mentor_model=large",), 1.0), (("mentor_model=large", "mentor_solved_share=0.25"), 0.25)],
)
def test_beside_a_mentor_students_solve_a_share_and_all_in_evaluations(mentor, share):
    from trainers import teacher_grpo

    recipe = ["quickstart_rl", "students=null", "students={Mara: {}}", "heldout_students=null", "beta=0", *mentor]
    config = compose(recipe, Machine(), servers=1).config
    trained, evaluated = teacher_grpo.build_both_lessons(config, {"Mara": ScriptedModel(lambda text, index: "x")})
    assert (trained.solved_share, evaluated.solved_share) == (share, 1.0)
