"""n steps are k steps and a resume to n: data, seeds, rollouts in use or run ahead, optimizer, weight versions."""

import json
import shutil

import pytest

from tests.support.grpo_runs import lessons, metrics, train, weights
from trainers.grpo.curriculum.question_records import BY_QUESTION

pytestmark = [pytest.mark.slow, pytest.mark.servers]
STEPS = 6
TOLERANCE = 1e-6
KEEP = ("save_total_limit=10",)
REPLACING = ("dynamic_sampling=true", "reward=tests.support.rewards.checksum_of_every_third")
RUNS = {
    # 5 rollouts make an epoch: the fifth step's checkpoint lies between two epochs.
    "on_policy": (["rollout_overlap=0", "sync_ref_model=true", "ref_model_sync_steps=2"], [3, 5]),
    # A rollout lasts two steps, twice: the checkpoint lies within it.
    "rollout_in_use": (["rollout_overlap=0", "steps_per_generation=8", "train_batch_size=16", "num_iterations=2"], [3]),
    "one_ahead": (["rollout_overlap=1"], [2, 5]),
    # What was asked before decides what is asked, and how many spare questions are.
    "replaced_on_policy": ([*REPLACING, "rollout_overlap=0"], [3]),
    "replaced_one_ahead": ([*REPLACING, "question_order=difficulty", "rollout_overlap=1"], [3]),
}
SAME = (
    "reward",
    "reward_std",
    "kl",
    "entropy",
    "loss",
    "grad_norm",
    "num_tokens",
    "teaching/teaching_length_mean",
    "teaching/approach_length",
    "teaching/weight_version_lag",
    "teaching/uninformative_groups",
    "teaching/replaced_groups",
    "generated_tokens",
    "sampling/sampling_logp_difference/max",
)


@pytest.fixture(scope="module", params=list(RUNS))
def uninterrupted(request, servers, tmp_path_factory):
    directory = tmp_path_factory.mktemp(request.param)
    overrides, at = RUNS[request.param]
    output = train(servers, directory, f"max_steps={STEPS}", "save_strategy=steps", "save_steps=1", *KEEP, *overrides)
    return directory, output, overrides, at


def test_a_resumed_run_is_the_uninterrupted_one(uninterrupted, servers):
    directory, whole, overrides, at = uninterrupted
    for step in at:
        output = f"output_dir={directory}/resumed-{step}"
        resumed = train(
            servers, directory, f"max_steps={STEPS}", f"resume={whole}/checkpoint-{step}", output, *overrides
        )
        before, after = metrics(whole), metrics(resumed)
        assert list(after) == list(range(step + 1, STEPS + 1))
        for later in after:
            for name in SAME:
                if name in before[later]:
                    assert after[later][name] == pytest.approx(before[later][name], abs=1e-5), (later, name)
        for path in (resumed / "lessons").glob("*.jsonl"):
            mine, theirs = lessons(resumed, int(path.stem[5:])), lessons(whole, int(path.stem[5:]))
            for key in ("row", "member", "completion_ids", "approach", "reward", "weight_version"):
                assert [lesson[key] for lesson in mine] == [lesson[key] for lesson in theirs]
        assert (resumed / BY_QUESTION).read_text() == (whole / BY_QUESTION).read_text()
        trained, expected = weights(resumed), weights(whole)
        assert max((trained[name] - expected[name]).abs().max().item() for name in expected) < TOLERANCE
        shutil.rmtree(resumed)


def test_lessons_are_as_old_as_the_overlap_says(uninterrupted):
    _, whole, overrides, _ = uninterrupted
    logged = metrics(whole)
    lags = [row["teaching/weight_version_lag"] for row in logged.values() if "teaching/weight_version_lag" in row]
    assert lags == ([0, 1, 1, 1, 1, 1] if "rollout_overlap=1" in overrides else [0] * len(lags))
    largest = max(row.get("sampling/sampling_logp_difference/max", 0.0) for row in logged.values())
    assert (largest > 1e-3) == ("rollout_overlap=1" in overrides)


def test_groups_that_teach_nothing_are_not_trained_on(uninterrupted):
    _, whole, overrides, _ = uninterrupted
    if REPLACING[0] not in overrides:
        pytest.skip("nothing is replaced")
    for step, row in metrics(whole).items():
        of_use = [lesson["row"] for lesson in lessons(whole, step - 1)[::4] if lesson["row"] % 3 == 0]
        kept = 4 - row["frac_reward_zero_std"] * 4
        assert len(of_use) == len(set(of_use)) >= kept
        assert row["teaching/replaced_groups"] + row["teaching/uninformative_groups"] > 0
    asked = [json.loads(line) for line in (whole / BY_QUESTION).read_text().splitlines()]
    assert sum(line["attempts"] for line in asked) > 4 * STEPS


def test_the_order_of_questions_goes_through_epochs(uninterrupted):
    _, whole, overrides, _ = uninterrupted
    if "num_iterations=2" in overrides or REPLACING[0] in overrides:
        pytest.skip("no second epoch, or other questions")
    asked = [tuple(lesson["row"] for lesson in lessons(whole, step)[::4]) for step in range(STEPS)]
    assert len({row for rollout in asked[:5] for row in rollout}) == 20
    assert asked[5] != asked[0]
