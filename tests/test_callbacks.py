"""Warnings of a run while it goes."""

from __future__ import annotations

import logging

from transformers import TrainerControl, TrainerState, TrainingArguments

from trainers.callbacks import BlindLeakWatch


def warned(watch: BlindLeakWatch, logs: dict[str, float], *, rank_zero: bool = True) -> None:
    state = TrainerState(global_step=7, is_world_process_zero=rank_zero)
    watch.on_log(TrainingArguments.__new__(TrainingArguments), state, TrainerControl(), logs=logs)


def test_leaks_that_blind_checks_find_are_warned_of_once(caplog):
    caplog.set_level(logging.WARNING)
    watch = BlindLeakWatch(0.05)
    warned(watch, {"loss": 1.0})
    warned(watch, {"teaching/blind_leak_rate": 1 / 6, "teaching/blind_checks": 6.0})
    assert caplog.messages == []
    warned(watch, {"teaching/blind_leak_rate": 0.5, "teaching/blind_checks": 6.0}, rank_zero=False)
    assert caplog.messages == []
    for _ in range(3):
        warned(watch, {"teaching/blind_leak_rate": 0.5, "teaching/blind_checks": 6.0})
    [message] = caplog.messages
    assert message.startswith("step 7: 33% of the last blind checks found that the teaching gives the answer away")
