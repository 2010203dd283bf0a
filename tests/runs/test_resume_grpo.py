"""n steps are k steps and a resume to n: data, seeds, rollouts in use or run ahead, optimizer, weight versions."""

import shutil

import pytest

from tests.support.grpo_runs import lessons, metrics, train, weights

pytestmark = [pytest.mark.slow, pytest.mark.servers]
STEPS = 6
TOLERANCE = 1e-6
KEEP = ("save_total_limit=10",)
RUNS = {
    # 5 rollouts make an epoch: the fifth step's checkpoint lies between two epochs.
    "on_policy": (["rollout_overlap=0", "sync_ref_model=true", "ref_model_sync_steps=2"], [3, 5]),
    # A rollout lasts two steps, twice: the checkpoint lies within it.
    "rollout_in_use": (["rollout_overlap=0", "steps_per_generation=8", "train_batch_size=16", "num_iterations=2"], [3]),
    "one_ahead": (["rollout_overlap=1"], [2, 5]),
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


def test_the_order_of_questions_goes_through_epochs(uninterrupted):
    _, whole, overrides, _ = uninterrupted
    if "num_iterations=2" in overrides:
        pytest.skip("no second epoch")
    asked = [tuple(lesson["row"] for lesson in lessons(whole, step)[::4]) for step in range(STEPS)]
    assert len({row for rollout in asked[:5] for row in rollout}) == 20
    assert asked[5] != asked[0]
