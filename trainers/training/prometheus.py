"""The last figures of a training at a port of this machine, as Prometheus reads them (`metrics_port`)."""

from __future__ import annotations

import logging
import math
import re
import threading
from collections.abc import Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from trainers.configuration.settings.experiments import TrainingExperiment

LOOPBACK = "127.0.0.1"
BEGINNING = "atlas_training_"
BY_STUDENT = "teaching/by_student/"
logger = logging.getLogger(__name__)


def install_metrics_port(trainer: Trainer, config: TrainingExperiment) -> None:
    """Show a training's figures at its `metrics_port`, where it has one."""
    if config.training.metrics_port is not None:
        trainer.add_callback(MetricsPort(config.training.metrics_port))


def exported_name(metric: str) -> str:
    """Return Prometheus' name of a metric: of `teaching/leak_rate` it is `atlas_training_teaching_leak_rate`."""
    return BEGINNING + re.sub(r"\W", "_", metric)


class LastFigures(Collector):
    """Keeps the last value of each metric; those of a student of a pool have the label `student`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[tuple[str, str], float] = {}

    def take(self, figures: Mapping[str, Any]) -> None:
        """Take what was logged; what is no number is left out."""
        with self._lock:
            for name, value in figures.items():
                if isinstance(value, int | float) and not math.isnan(value):
                    self._values[_metric_and_student(name)] = float(value)

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics, as prometheus_client asks for them."""
        with self._lock:
            values = dict(self._values)
        families: dict[str, GaugeMetricFamily] = {}
        for (metric, student), value in values.items():
            name = exported_name(metric)
            family = families.setdefault(name, GaugeMetricFamily(name, f"Last value of {metric} in metrics.jsonl."))
            family.add_sample(name, {"student": student} if student else {}, value)
        yield from families.values()


class MetricsPort(TrainerCallback):
    """Serves `/metrics` on loopback while a training runs, from the rank that reports.

    Args:
        port: to listen at.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self._figures = LastFigures()
        self._stop: Any = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Begin to listen; a port that is taken costs the figures there, and not the run."""
        if not state.is_world_process_zero:
            return
        self._figures.take({"step": state.global_step, "max_steps": state.max_steps})
        registry = CollectorRegistry()
        registry.register(self._figures)
        try:
            server, thread = start_http_server(self.port, LOOPBACK, registry)
        except OSError as error:
            logger.error(
                "metrics_port=%d cannot be listened at (%s): the run goes on without. → choose another for the next",
                self.port,
                error.strerror or error,
            )
            return
        self.port = server.server_port

        def stop() -> None:
            server.shutdown()
            server.server_close()
            thread.join()

        self._stop = stop
        logger.info("figures for Prometheus: http://%s:%d/metrics", LOOPBACK, self.port)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Take what was logged."""
        self._figures.take({"max_steps": state.max_steps, **(logs or {}), "step": state.global_step})

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Listen no more."""
        if self._stop is not None:
            self._stop()
            self._stop = None


def _metric_and_student(name: str) -> tuple[str, str]:
    evaluation, found, rest = name.partition(BY_STUDENT)
    if not found or evaluation not in ("", "eval_"):
        return name, ""
    student, _, metric = rest.partition("/")
    return f"{evaluation}teaching/{metric}", student
