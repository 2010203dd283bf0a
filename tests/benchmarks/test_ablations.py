"""The ablations' stages: every command is accepted, and writes where the next one reads."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from scripts.benchmarks.learning import ablations
from scripts.benchmarks.learning.records.main_goals import WHOLE
from scripts.benchmarks.learning.records.over_seeds import SHOWN
from scripts.benchmarks.learning.records.trained_variants import TRAININGS, TrainedVariant
from tests.support.evaluations import evaluated
from trainers.configuration import compose
from trainers.configuration.devices.machine import assume
from trainers.configuration.settings.experiments import Experiment, TrainingExperiment
from trainers.evaluation.measures.results import Results


@pytest.fixture(autouse=True)
def _found(tmp_path):
    """Prompts that a search has found, which an evaluation takes from there."""
    recipe = tmp_path / "prompts/run/prompts.yaml"
    recipe.parent.mkdir(parents=True)
    recipe.write_text("defaults: [evaluate, _self_]\nteacher_template: '{question} {approach} found'\n")


def composed(command: list[str]) -> Experiment:
    """Return the configuration that the launcher composes for a stage's command."""
    words = [word for word in command[2:] if not word.isdigit()]
    return compose(words, assume(0)).config


def test_every_stage_is_accepted_and_leads_to_the_next(tmp_path):
    found = list(ablations.stages(3, tmp_path, ablations.VARIANTS, 8765, ablations.SMOKE))
    assert [name for name, _, _ in found] == [
        *("world", "quickstart_sft", "quickstart_rl", "ablation_no_probe_sft", "ablation_no_probe"),
        *("ablation_one_student_sft", "ablation_one_student"),
        *("ablation_one_student_no_probe_sft", "ablation_one_student_no_probe"),
        *("ablation_no_bonus", "ablation_baselines", "ablation_solution_as_probe", "ablation_probe_4"),
        *("ablation_leaks_allowed", "ablation_five_students", "quickstart_distill"),
        "quickstart_prompts",
        *(f"evaluation of {variant.name}" for variant in ablations.VARIANTS),
    ]
    made = {str(tmp_path / "world/teacher_base")}
    for _, product, command in found[1:]:
        config = composed(command)
        assert product == Path(config.output.output_dir) / "finished.json"
        assert config.output.seed == 3
        trains = isinstance(config, TrainingExperiment)
        assert (config.model.model_name_or_path if trains else config.evaluation.teacher) in made
        made.add(config.output.output_dir)


def test_each_variant_differs_from_the_whole_recipe_in_one_thing(tmp_path):
    configs = {
        name: composed(command)
        for name, _, command in ablations.stages(0, tmp_path, ablations.VARIANTS, 8765, ablations.WHOLLY)
        if name != "world"
    }
    whole, named = configs["quickstart_rl"].flat(), {"output_dir", "exp_name", "run_name"}

    def changed(name: str) -> set[str]:
        return {key for key, value in configs[name].flat().items() if value != whole.get(key)} - named

    assert changed("ablation_no_bonus") == {"efficiency_weight"}
    assert changed("ablation_baselines") == {"num_baselines"}
    assert changed("ablation_leaks_allowed") == {"leak_policy"}
    assert changed("ablation_solution_as_probe") == {"probe_template", "max_probe_tokens"}
    assert changed("ablation_probe_4") == {"max_probe_tokens"}
    assert changed("ablation_one_student") == {"students", "model_name_or_path"}
    assert changed("ablation_five_students") == {"students"}
    assert changed("quickstart_distill") == {"mentor_model", "mentor_max_model_len", "beta"}
    assert changed("ablation_no_probe") == {"max_probe_tokens", "teacher_template", "model_name_or_path"}
    assert configs["evaluation of SFT only in the best words found"].prompts.teacher_template.endswith("found")
    for name in ("ablation_no_probe_sft", "ablation_no_probe", "evaluation of no probe"):
        assert configs[name].prompts.max_probe_tokens == 0
        assert "{approach}" not in configs[name].prompts.teacher_template


def test_the_questions_of_all_seeds_stand_together():
    parts = [
        Results(tuple(alone), {"T": tuple(taught)})
        for alone, taught in (evaluated(([False], [True])), evaluated(([True], [False]), ([True], [True])))
    ]
    whole = ablations.together(parts)
    assert len(whole.alone) == len(whole.taught["T"]) == 3
    assert whole.arms()[1].estimates["accuracy"].mean == pytest.approx(2 / 3)
    table = ablations.accuracy_by_seed({"T": parts}, [0, 1])
    assert table.rows[0][0] == "T"
    assert table.rows[0][2].startswith("50.0%")


def test_what_is_recorded_are_the_trainings_their_means_and_the_goals(tmp_path):
    """Recorded one after the other, as two machines do: two seeds of the recipe and one of a variant."""
    measures = {"accuracy": 0.9, "leak_rate": 0.0, **dict.fromkeys(SHOWN, 0.98)}
    whole = TrainedVariant(WHOLE, 3, "2 threads, AVX2", 9, 0.5, 1.0, measures, {})
    ablations.record([whole, replace(whole, variant="no probe", measures=measures | {"accuracy": 0.25})], tmp_path)
    ablations.record([replace(whole, seed=4)], tmp_path)
    means, goals, trainings = (
        json.loads((tmp_path / f"{name}.json").read_text()) for name in ("ablations", "main-goals", TRAININGS)
    )
    assert [row[:4] for row in means["rows"]] == [
        ["student alone", "50.0% [50.0%, 50.0%]", "", ""],
        ["whole recipe", "90.0% [90.0%, 90.0%]", "", "2"],
        ["no probe", "25.0%", "-65.0", "1"],
    ]
    assert len(means["columns"]) == len(means["rows"][0])
    assert goals["rows"][1] == ["≥ 20 points above the same without a probe, clear of 0", "+65.0", "1", "no"]
    assert len(trainings["rows"]) == 3
