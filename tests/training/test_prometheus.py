"""The last figures of a training as Prometheus reads them, and the dashboard that asks for them."""

from __future__ import annotations

import json
import logging
import re
import socket
from types import SimpleNamespace
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families
from transformers import TrainerControl, TrainerState

from trainers.callbacks import LINE
from trainers.configuration.schedule.evaluation_metrics import DIRECTIONS
from trainers.configuration.settings.experiments import GRPO
from trainers.grpo.alarms.history import OF_RUN
from trainers.paths import ROOT
from trainers.plotting.training import PANELS
from trainers.service.figures import Figures
from trainers.teaching.adaptive import Guidance
from trainers.training.prometheus import MetricsPort

ARGUMENTS = SimpleNamespace()
LOGGED = {*LINE, *OF_RUN, *DIRECTIONS[GRPO], *(curve.key for panel in PANELS for curve in panel.curves)}
EVALUATED = {f"eval_{name}" for name in DIRECTIONS[GRPO]}
"""Names that stand in metrics.jsonl, by those who write them or read them."""


def state(step: int = 0, *, rank_zero: bool = True) -> TrainerState:
    return TrainerState(global_step=step, max_steps=300, is_world_process_zero=rank_zero)


def samples(text: str) -> dict[tuple[str, str], float]:
    """Values by name and student."""
    families = text_string_to_metric_families(text)
    return {(s.name, s.labels.get("student", "")): s.value for family in families for s in family.samples}


@pytest.fixture
def listening(free_port: int):
    """A port of a training that has begun, and the callback that serves it."""
    port = MetricsPort(free_port)
    port.on_train_begin(ARGUMENTS, state(), TrainerControl())
    yield port
    port.on_train_end(ARGUMENTS, state(), TrainerControl())


def scraped(port: MetricsPort) -> dict[tuple[str, str], float]:
    with urlopen(f"http://127.0.0.1:{port.port}/metrics", timeout=10) as answer:
        return samples(answer.read().decode())


def logged(port: MetricsPort, step: int, figures: dict) -> None:
    port.on_log(ARGUMENTS, state(step), TrainerControl(), logs=figures)


def test_the_last_figures_are_at_the_port_while_the_training_runs(listening: MetricsPort):
    assert scraped(listening) == {("atlas_training_step", ""): 0.0, ("atlas_training_max_steps", ""): 300.0}
    logged(listening, 1, {"reward": 0.5, "kl": 0.1})
    logged(listening, 2, {"reward": 0.75, "teaching/leak_rate": float("nan"), "note": "text"})
    found = scraped(listening)
    assert found[("atlas_training_reward", "")] == 0.75
    assert found[("atlas_training_kl", "")] == 0.1
    assert found[("atlas_training_step", "")] == 2.0
    assert not any("leak_rate" in name or "note" in name for name, _ in found)
    listening.on_train_end(ARGUMENTS, state(), TrainerControl())
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", listening.port)) != 0


def test_students_of_a_pool_are_a_label(listening: MetricsPort):
    row = {"teaching/accuracy_gain": 0.1, "teaching/by_student/Mara/accuracy_gain": 0.3}
    logged(listening, 1, row | {"eval_teaching/by_student/Pia/truncated_rate/taught": 0.0})
    found = scraped(listening)
    assert found[("atlas_training_teaching_accuracy_gain", "")] == 0.1
    assert found[("atlas_training_teaching_accuracy_gain", "Mara")] == 0.3
    assert found[("atlas_training_eval_teaching_truncated_rate_taught", "Pia")] == 0.0


def test_it_listens_at_one_address_of_loopback_and_at_no_other(listening: MetricsPort):
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.2", listening.port)) != 0


def test_a_port_that_is_taken_does_not_end_the_run(listening: MetricsPort, caplog):
    caplog.set_level(logging.ERROR)
    second = MetricsPort(listening.port)
    second.on_train_begin(ARGUMENTS, state(), TrainerControl())
    logged(second, 1, {"reward": 1.0})
    second.on_train_end(ARGUMENTS, state(), TrainerControl())
    [message] = caplog.messages
    assert f"metrics_port={listening.port} cannot be listened at" in message


def test_only_the_rank_that_reports_listens(free_port: int):
    port = MetricsPort(free_port)
    port.on_train_begin(ARGUMENTS, state(rank_zero=False), TrainerControl())
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", free_port)) != 0


def test_the_dashboard_asks_for_what_there_is(listening: MetricsPort):
    logged(listening, 1, dict.fromkeys(LOGGED | EVALUATED, 1.0))
    service = Figures()
    service.answered("/v1/chat/completions", 200, 0.5)
    service.guided(Guidance(question="q", approach="a", thinking="", teaching="t", tokens=3))
    found = {name for name, _ in {**scraped(listening), **samples(service.text().decode())}}
    board = json.loads((ROOT / "docs/guides/grafana.json").read_text(encoding="utf-8"))
    asked = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    names = {name for expression in asked for name in re.findall(r"atlas_\w+", expression)}
    assert {name.split("_")[1] for name in names} >= {"training", "requests", "request", "lessons", "guidance"}
    assert names <= found
