"""The study of overlap: its stages are accepted, lead to one another and differ in what they are named after."""

from __future__ import annotations

from pathlib import Path

from scripts.benchmarks.learning.overlap_learning import VARIANTS, stages
from trainers.configuration import compose
from trainers.configuration.devices.machine import assume
from trainers.configuration.settings.experiments import GRPOExperiment


def test_every_stage_is_accepted_and_trains_the_same_teacher(tmp_path):
    _, (_, warmed_up, _), *trainings = stages(3, tmp_path, ["max_steps=7"])
    assert [name for name, _, _ in trainings] == list(VARIANTS)
    for name, product, command in trainings:
        config = compose([word for word in command[2:] if not word.isdigit()], assume(0)).config
        assert isinstance(config, GRPOExperiment)
        assert config.model.model_name_or_path == str(warmed_up.parent)
        assert (config.trainer.max_steps, config.output.seed) == (7, 3)
        assert Path(config.output.output_dir) / "finished.json" == product
        overlap = config.flat()["rollout_overlap"]
        assert (overlap == 1) == ("one step ahead" in name)
        assert f"{config.flat()['num_baselines']} baseline" in name
