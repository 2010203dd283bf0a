"""Components of a user's own: found, given their settings, and refused before anything starts where they cannot be."""

from __future__ import annotations

import asyncio
import inspect
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tests.support.data_configs import run_config
from tests.support.lessons import lesson
from trainers import plugins
from trainers.builders.protocol import make_reward, make_verifier
from trainers.concurrency.calls import close
from trainers.configuration import ConfigurationError, Problem
from trainers.dotted_path import resolve
from trainers.launch.checks.own_functions import function_problems
from trainers.teaching.lesson import Question
from trainers.teaching.reward import AdaptiveTeachingReward, off_the_loop, score
from trainers.teaching.verifiers.names import VERIFIERS

HERE = __name__
KEYS = {"efficiency_weight": 0.5, "degradation_penalty": 0.25, "leak_policy": "report", "verifier_timeout_s": 7.0}


@dataclass(frozen=True)
class Weighed:
    """A reward with a setting that it needs, one that it may have, and one that is a key."""

    weight: float
    places: tuple[int, ...] = (1,)
    name: str = ""
    efficiency_weight: float = 1.0

    def __call__(self, lesson: Any) -> float:
        return self.weight


def doubled(lesson: Any, factor: float = 2.0, **more: Any) -> float:
    return factor * lesson


class Broken:
    """A class that cannot be made."""

    def __init__(self) -> None:
        raise RuntimeError("no  such\nfile")


class Clinging:
    """A reward that cannot be closed."""

    def __call__(self, lesson: Any) -> float:
        return 1.0

    async def aclose(self) -> None:
        raise OSError("stuck")


class Silent:
    """A class whose instances cannot be called."""


class Deaf:
    """An agent that is told nothing."""

    async def act(self) -> str:
        return "what?"


class Patient:
    """A verifier that wants to know how long it may take, and lists what was closed."""

    closed: ClassVar[list[float]] = []

    def __init__(self, timeout_s: float, path: Path = Path("a")) -> None:
        self.timeout_s, self.path = timeout_s, path

    def verify(self, solution: str, question: Question) -> bool:
        return solution == question.text

    def close(self) -> None:
        self.closed.append(self.timeout_s)


def of_old(solution_text: str, ground_truth: str, extra: Any) -> bool:
    """A verifier with the arguments that verifiers once had."""
    return True


def built(seam: plugins.Seam, **config: Any) -> Any:
    return plugins.build(seam, run_config("teacher_grpo", **(KEYS | config)))


def test_a_class_gets_its_settings_and_the_keys_named_like_its_other_parameters() -> None:
    made = built(plugins.REWARD, reward=f"{HERE}.Weighed", reward_args={"weight": 2, "places": [3, 4], "name": 5})
    assert made == Weighed(2.0, (3, 4), "5", 0.5)
    own = built(plugins.REWARD, reward=f"{HERE}.Weighed", reward_args={"weight": 2, "efficiency_weight": 9})
    assert own.efficiency_weight == 9


def test_a_function_gets_its_settings_bound() -> None:
    assert built(plugins.REWARD, reward=f"{HERE}.doubled")(3) == 6
    assert built(plugins.REWARD, reward=f"{HERE}.doubled", reward_args={"factor": 3, "any": 1})(3) == 9


def test_without_a_name_the_reward_is_ours_and_takes_settings_as_well() -> None:
    assert built(plugins.REWARD, reward=None) == AdaptiveTeachingReward(0.5, 0.25, "report")
    assert built(plugins.REWARD, reward=None, reward_args={"efficiency_weight": 0}).efficiency_weight == 0


@pytest.mark.parametrize("name", VERIFIERS)
def test_verifiers_with_a_name_are_made_by_the_same_mechanism(name: str) -> None:
    config = run_config("teacher_grpo", **KEYS, verifier=name)
    verifier = plugins.build(plugins.VERIFIER, config)
    assert f"{type(verifier).__module__}.{type(verifier).__name__}" == VERIFIERS[name]
    assert make_verifier(config).extract("<solution>4</solution>") == verifier.extract("<solution>4</solution>")
    assert list(plugins.plugin_problems(config)) == []


def test_a_verifier_is_told_how_long_it_may_take_and_closed_after_the_look_at_it() -> None:
    config = run_config("teacher_grpo", **KEYS, verifier=f"{HERE}.Patient", verifier_args={"path": "b"})
    Patient.closed.clear()
    assert list(function_problems(config)) == []
    assert Patient.closed == [7.0]
    made = plugins.build(plugins.VERIFIER, config)
    assert (made.timeout_s, made.path) == (7.0, Path("b"))
    asked = make_verifier(config).verify("q", Question(0, "q", None))
    assert asyncio.run(asked).correct


BAD = [
    ({"reward": "no_such_package.reward"}, "reward=", "cannot be imported (ModuleNotFoundError: ", "importable"),
    ({"reward": "os.no_such"}, "reward=os.no_such", "cannot be imported (AttributeError: ", "importable"),
    ({"reward": f"{HERE}.KEYS"}, "reward=", "expected a function or class, got a dict", "name the function"),
    ({"reward": f"{HERE}.Weighed"}, "reward=", "Weighed needs the argument weight", "write reward_args.weight=…"),
    (
        {"reward": f"{HERE}.Weighed", "reward_args": {"wieght": 1, "weight": 2}},
        "reward_args.wieght=1",
        "Weighed has no argument wieght",
        "did you mean weight?",
    ),
    (
        {"reward": f"{HERE}.Weighed", "reward_args": {"weight": "much"}},
        "reward_args.weight=much",
        "Weighed takes float there (input should be a valid number",
        "give another weight",
    ),
    ({"reward": f"{HERE}.doubled", "reward_args": {"lesson": 1}}, "reward_args.lesson=1", "no argument lesson", "fact"),
    ({"reward": f"{HERE}.Broken"}, "reward=", "cannot be made (RuntimeError: no such file)", "correct reward_args"),
    ({"reward": f"{HERE}.Clinging"}, "reward=", "cannot be closed (OSError: stuck)", "correct its close"),
    ({"reward": f"{HERE}.Silent"}, "reward=", "an instance of Silent cannot be called", "__call__(lesson)"),
    ({"verifier": f"{HERE}.of_old"}, "verifier=", "of_old needs the argument extra", "verifier_args.extra"),
    (
        {"verifier": f"{HERE}.of_old", "verifier_args": {"extra": 1, "solution_text": 2}},
        "verifier_args.solution_text=2",
        "no argument solution_text",
        "it takes extra",
    ),
    ({"student_agent": "os.getcwd"}, "student_agent=", "it is called with (text), and that fails: too many", "give it"),
    ({"student_agent": f"{HERE}.Silent"}, "student_agent=", "an instance of Silent cannot be called", "act(text)"),
    ({"student_agent": f"{HERE}.Deaf"}, "student_agent=", "it is called with (text), and that fails: too", "give it"),
    ({"row_reader": f"{HERE}.Silent"}, "row_reader=", "an instance of Silent cannot be called", "__call__(row)"),
    ({"trainer_class": f"{HERE}.Silent"}, "trainer_class=", "derived from trainers.grpo.trainer.Teach", "class Silent"),
    ({"weight_transfer": f"{HERE}.Silent"}, "weight_transfer=", "it lacks connect and send and close", "Transport"),
]


@pytest.mark.parametrize(("config", "given", "expected", "remedy"), BAD, ids=lambda value: str(value)[:40])
def test_what_cannot_be_made_is_told_before_anything_starts(
    config: dict[str, Any], given: str, expected: str, remedy: str
) -> None:
    problems = list(function_problems(run_config("teacher_grpo", **(KEYS | config))))
    assert problems[0].given.startswith(given)
    assert expected in problems[0].expected
    assert remedy in problems[0].remedy


def test_all_faults_of_the_settings_are_told_at_once() -> None:
    config = {"reward": f"{HERE}.Weighed", "reward_args": {"weight": "much", "plces": 1}, "student_agent": "os.nobody"}
    problems = list(function_problems(run_config("teacher_grpo", **(KEYS | config))))
    told = [problem.given for problem in problems]
    assert told == ["reward_args.plces=1", "reward_args.weight=much", "student_agent=os.nobody"]
    assert all(
        isinstance(problem, Problem) for problem in function_problems(run_config("teacher_grpo", **(KEYS | config)))
    )


def test_what_is_wrong_is_told_likewise_where_nobody_looked_before() -> None:
    with pytest.raises(ConfigurationError, match="Weighed needs the argument weight"):
        built(plugins.REWARD, reward=f"{HERE}.Weighed")


def test_a_module_that_lacks_another_is_not_called_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_rewards").mkdir()
    (tmp_path / "my_rewards" / "__init__.py").touch()
    (tmp_path / "my_rewards" / "harm.py").write_text("import no_such_package\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="no_such_package"):
        resolve("my_rewards.harm.Harm")
    assert resolve("os.path.basename") is sys.modules["os"].path.basename


def test_components_without_a_signature_are_taken_as_they_are() -> None:
    with pytest.raises(ValueError, match="no signature"):
        inspect.signature(getattr)
    assert built(plugins.REWARD, reward="builtins.getattr") is getattr


# --- rewards that wait ------------------------------------------------------------------------------------------------


async def heartbeats_during(reward: Callable[..., Any]) -> tuple[list[Any], int]:
    """Rewards of ten lessons, and how often the event loop was back meanwhile."""
    config_reward = off_the_loop(reward)
    scoring = asyncio.gather(*(score(config_reward, lesson([False], True)) for _ in range(10)))
    beats = 0
    while not scoring.done():
        await asyncio.sleep(0.005)
        beats += 1
    return list(await scoring), beats


def test_a_slow_reward_never_stops_the_event_loop_and_is_called_once_at_a_time() -> None:
    threads, inside, most = set[int](), 0, 0

    def slow(lesson: Any) -> float:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        threads.add(threading.get_ident())
        time.sleep(0.03)
        inside -= 1
        return 1.0

    rewards, beats = asyncio.run(heartbeats_during(slow))
    assert rewards == [1.0] * 10
    assert beats > 20
    assert most == 1
    assert len(threads) == 1
    assert threading.get_ident() not in threads


def test_an_asynchronous_reward_is_awaited_for_all_lessons_at_once() -> None:
    async def judged(lesson: Any) -> float | None:
        await asyncio.sleep(0.1)
        return None

    start = time.monotonic()
    rewards, beats = asyncio.run(heartbeats_during(judged))
    assert rewards == [None] * 10
    assert time.monotonic() - start < 0.9
    assert beats > 3


def test_ours_needs_no_thread_and_a_class_may_be_asynchronous_or_closed() -> None:
    class Judge:
        closed = False

        async def __call__(self, lesson: Any) -> float:
            return 0.5

        async def aclose(self) -> None:
            self.closed = True

    class Counting(Judge):
        def __call__(self, lesson: Any) -> float:  # type: ignore[override]
            return 0.25

    ours, judge, counting = AdaptiveTeachingReward(), Judge(), Counting()
    assert off_the_loop(ours) is ours
    assert off_the_loop(judge) is judge
    on_thread = off_the_loop(counting)
    assert asyncio.run(score(on_thread, lesson([False], True))) == 0.25
    asyncio.run(close(on_thread))
    assert counting.closed


def test_the_configured_reward_is_off_the_loop() -> None:
    reward = make_reward(run_config("teacher_grpo", **KEYS, reward=f"{HERE}.Weighed", reward_args={"weight": 2}))
    assert asyncio.run(score(reward, lesson([False], True))) == 2.0
