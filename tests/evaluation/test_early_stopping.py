"""Training ends when evaluations no longer get better, and an interruption does not start the count anew."""

import logging
import math
from types import SimpleNamespace

import pytest
from transformers import TrainerControl, TrainerState

from trainers.evaluation.early_stopping import Patience

JUDGED = SimpleNamespace(metric_for_best_model="teaching/accuracy_gain", greater_is_better=True)


def evaluated(patience, state, values):
    """Evaluate as a trainer does, which notes the best metric after its callbacks were asked; what came of each."""
    stopped = []
    for value in values:
        control = TrainerControl()
        patience.on_evaluate(JUDGED, state, control, {"eval_teaching/accuracy_gain": value})
        if state.best_metric is None or value > state.best_metric:
            state.best_metric = value
        stopped.append(control.should_training_stop)
    return stopped


def begun(patience, state):
    patience.on_train_begin(JUDGED, state, TrainerControl())
    return patience


@pytest.mark.parametrize(
    ("values", "stopped"),
    [
        ([0.1, 0.2, 0.2, 0.1], [False, False, False, True]),
        ([0.1, 0.0, 0.2, 0.1], [False, False, False, False]),
        ([0.1, math.nan, math.nan], [False, False, True]),
    ],
)
def test_training_ends_after_so_many_evaluations_that_are_no_better(values, stopped, caplog):
    caplog.set_level(logging.WARNING)
    state = TrainerState(global_step=30)
    assert evaluated(begun(Patience(2), state), state, values) == stopped
    said = "step 30: teaching/accuracy_gain is no better than"
    assert sum(said in message for message in caplog.messages) == sum(stopped)


def test_what_is_hardly_better_is_no_better():
    state = TrainerState()
    assert evaluated(begun(Patience(1, 0.1), state), state, [0.5, 0.65, 0.7]) == [False, False, True]


def test_a_resumed_run_goes_on_counting(tmp_path):
    state = TrainerState()
    patience = begun(Patience(2), state)
    assert evaluated(patience, state, [0.3, 0.2]) == [False, False]
    state.stateful_callbacks["Patience"] = patience.state()
    state.save_to_json(str(tmp_path / "trainer_state.json"))
    resumed = TrainerState.load_from_json(str(tmp_path / "trainer_state.json"))
    assert evaluated(begun(Patience(2), resumed), resumed, [0.1]) == [True]


def test_a_checkpoint_of_a_run_without_early_stopping_can_be_continued_with_it():
    state = TrainerState(best_metric=0.4)
    assert evaluated(begun(Patience(1), state), state, [0.5, 0.1]) == [False, True]
    # transformers looks every callback's state up when it saves.
    assert "Patience" in state.stateful_callbacks
