"""Judges over real HTTP: slow ones, refusing ones, nonsense, one that always says 10; and what they may cost."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack

import openai  # noqa: F401 - importing it takes seconds, which are none of a request's
import pytest

from tests.support.chat_api import KEY, ChatApi, listening
from tests.support.fakes import ScriptedModel
from trainers.builders.judge_agents import agent_problems
from trainers.builders.judges import build_judge
from trainers.builders.protocol import build_protocol
from trainers.builders.student_and_teacher import accounts_of, usage_file
from trainers.configuration import ConfigurationError, compose
from trainers.configuration.devices.machine import Machine
from trainers.teaching.lesson import Question
from trainers.teaching.protocol import Teacher
from trainers.teaching.verifiers.judge.canary import CANARIES
from trainers.teaching.verifiers.judge.fence import fenced_texts

QUESTION = Question(0, "Why is the sky blue?", None)
PRICES = "price_per_million_tokens: {prompt: 1000, completion: 1000}"


class JudgeApi(ChatApi):
    """Gives scores by the length of a solution, or always the same; bad ones to those that try to bribe it."""

    def __init__(self, *behaviours, always: str | None = None, **options) -> None:
        super().__init__(*behaviours, **options)
        self.always = always
        self.judged: list[str] = []

    def text(self, body) -> str:
        shown = fenced_texts(body["messages"][-1]["content"])
        if self.always is not None:
            return self.always
        if shown["question"] in {question.text for question, _ in CANARIES}:
            return "<score>0</score>"
        self.judged.append(shown["solution"])
        return f"Well. <score>{min(10, len(shown['solution']))}</score>"


def configured(tmp_path, url: str, *words: str, entry: str = ""):
    """A run whose judge is behind an API."""
    table = f"verifier_args.model={{base_url: {url}, model: j, api_key_env: JUDGE_KEY{entry}}}"
    common = ["students=null", "heldout_students=null", "student_model=s", f"output_dir={tmp_path}", "verifier=judge"]
    return compose(["quickstart_rl", *common, table, *words], Machine(()), servers=1).config


async def judged(config, *solutions: str):
    judge = build_judge(config, ScriptedModel(lambda text, index: ""))
    try:
        verdicts = await asyncio.gather(*(judge.verify(solution, QUESTION) for solution in solutions))
        await judge.bribes()
        return verdicts, judge
    finally:
        await judge.aclose()


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("JUDGE_KEY", KEY)


def test_scores_come_over_http_and_are_paid_for(tmp_path):
    async def outcome():
        api = JudgeApi()
        async with listening(api) as url:
            config = configured(tmp_path, url, entry=f", {PRICES}, spending_cap: 100")
            return *(await judged(config, "abc", "abcdefgh")), api, config

    verdicts, judge, api, config = asyncio.run(outcome())
    assert [verdict.grade.score for verdict in verdicts] == [0.3, 0.8]
    assert [verdict.correct for verdict in verdicts] == [False, True]
    account = accounts_of(judge)["judge"]
    assert account.usage.requests == len(api.bodies) == 2 + len(CANARIES)
    assert json.loads(usage_file(config, "judge").read_text())["cost_usd"] == pytest.approx(account.usage.cost_usd)
    assert account.usage.cost_usd > 0
    assert not any(KEY in json.dumps(body) for body in api.bodies)


def test_a_judge_that_refuses_for_a_while_is_waited_for(tmp_path):
    async def outcome():
        async with listening(JudgeApi((429, 0.05), 500, "truncated", "html")) as url:
            return await judged(configured(tmp_path, url), "abcdefgh")

    [verdict], _ = asyncio.run(outcome())
    assert verdict.grade.score == 0.8


def test_a_slow_judge_is_unscorable_and_does_not_stall_the_others(tmp_path):
    class Slow(JudgeApi):
        async def behave(self, request, body, behaviour):
            if "slowly" in body["messages"][-1]["content"]:
                await asyncio.sleep(60)
            return await super().behave(request, body, behaviour)

    async def outcome():
        async with listening(Slow()) as url:
            config = configured(tmp_path, url, "verifier_args.timeout_s=2")
            start = asyncio.get_running_loop().time()
            verdicts, _ = await judged(config, "slowly", "abcdefgh")
            return verdicts, asyncio.get_running_loop().time() - start

    verdicts, seconds = asyncio.run(outcome())
    assert [(verdict.outcome, verdict.cause) for verdict in verdicts] == [
        ("unscorable", "judge_timeout"),
        ("correct", None),
    ]
    assert seconds < 30


@pytest.mark.parametrize("nonsense", ["I like it.", "<score>eleven</score>", "<score>7000</score>", ""])
def test_nonsense_is_unscorable_and_never_zero(tmp_path, nonsense):
    async def outcome():
        async with listening(JudgeApi(always=nonsense)) as url:
            return await judged(configured(tmp_path, url), "abc")

    [verdict], _ = asyncio.run(outcome())
    assert (verdict.correct, verdict.grade, verdict.cause) == (None, None, "judge_unreadable")


def test_a_judge_that_always_says_10_is_told(tmp_path, caplog):
    async def outcome():
        async with listening(JudgeApi(always="<score>10</score>")) as url:
            config = configured(tmp_path, url)
            async with AsyncExitStack() as stack:
                judge = build_judge(config, ScriptedModel(lambda text, index: ""))
                stack.push_async_callback(judge.aclose)
                return await judge.bribes()

    assert asyncio.run(outcome()) == {"judge": 1.0}
    assert "can be talked up" in caplog.text


def test_a_spent_cap_makes_verdicts_unscorable_and_is_told_before_another_run(tmp_path):
    async def outcome():
        async with listening(JudgeApi()) as url:
            config = configured(tmp_path, url, entry=f", {PRICES}, spending_cap: 0.001")
            verdicts, judge = await judged(config, "abc")
            return verdicts, judge, config

    [verdict], judge, config = asyncio.run(outcome())
    assert (verdict.correct, verdict.cause) == (None, "judge_spending_cap")
    assert accounts_of(judge)["judge"].exhausted
    usage_file(config, "judge").write_text(json.dumps({"cost_usd": 1.0}))
    with pytest.raises(ConfigurationError, match="raise the cap"):
        build_judge(config, ScriptedModel(lambda text, index: ""))


def test_lessons_with_a_judge_earn_the_difference_of_scores(tmp_path):
    """From a configuration to rewards, judged over HTTP: the taught solution is longer, and so better."""

    def student(text: str, index: int) -> str:
        return "abcdefgh" if "Teacher:" in text else "abcd"

    async def outcome():
        async with listening(JudgeApi()) as url:
            config = configured(tmp_path, url, "efficiency_weight=0", "max_probe_tokens=4")
            protocol = build_protocol(config, ScriptedModel(student))
            teacher = Teacher(ScriptedModel(lambda text, index: "<teaching>Say more.</teaching>"), len)
            try:
                return await protocol.run([QUESTION], teacher, step=1, num_generations=2, num_baselines=1)
            finally:
                await protocol.aclose()

    [group] = asyncio.run(outcome())
    assert [lesson.reward for lesson in group.lessons] == pytest.approx([0.5 * (0.8 + 0.4)] * 2)
    assert group.prepared.baselines[0].score == 0.4


def test_an_agent_judges_in_this_process(tmp_path):
    words = ["students=null", "heldout_students=null", "student_model=s", f"output_dir={tmp_path}"]
    config = compose(["quickstart_judge", *words, "verifier_args.model.agent_args.flip_rate=0"], Machine(())).config
    judge = build_judge(config, ScriptedModel(lambda text, index: ""))
    right = asyncio.run(judge.verify("<solution>4</solution>", Question(0, "2 + 2?", "4")))
    assert right.grade.score == 1.0
    assert list(agent_problems(config)) == []


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("verifier_args.model.agent_args.flip_rate=2", "cannot be made"),
        ("verifier_args.model.agent_args.flips=0.1", "no argument flips"),
        ("verifier_args.model.agent=no.such.Judge", "cannot be imported"),
    ],
)
def test_agents_that_cannot_be_made_are_told(tmp_path, words, expected):
    common = ["students=null", "heldout_students=null", "student_model=s", f"output_dir={tmp_path}"]
    config = compose(["quickstart_judge", *common, words], Machine(())).config
    assert [expected in str(problem) for problem in agent_problems(config)] == [True]


def test_the_student_itself_may_judge(tmp_path):
    words = ["students=null", "heldout_students=null", "student_model=s", f"output_dir={tmp_path}", "verifier=judge"]
    config = compose(["quickstart_rl", *words, "verifier_args.model={served: student}"], Machine(())).config
    student = ScriptedModel(lambda text, index: "<score>9</score>")
    judge = build_judge(config, student)
    assert asyncio.run(judge.verify("abc", QUESTION)).grade.score == 0.9
    assert accounts_of(judge) == {}


def test_a_structured_judge_is_asked_for_json_and_read_as_such(tmp_path):
    async def outcome():
        api = JudgeApi(always='{"reasoning": "<score>0</score>", "score": 8}')
        async with listening(api) as url:
            config = configured(tmp_path, url, entry=", structured_output: true")
            [verdict], _ = await judged(config, "abc")
            return verdict, api.bodies[-1]

    verdict, body = asyncio.run(outcome())
    assert verdict.grade.score == 0.8
    assert list(body["response_format"]["json_schema"]["schema"]["properties"]) == ["reasoning", "score"]
    assert body["messages"][-1]["content"].endswith('{"reasoning": "…", "score": NUMBER}. Reason briefly.')


def test_judges_with_servers_of_their_own_are_asked_there_with_their_own_variables(tmp_path, monkeypatch):
    asked = []

    def connect(config, specs, *, template_kwargs):
        asked.append(([spec.name for spec in specs], dict(template_kwargs)))
        return ScriptedModel(lambda text, index: "<score>4</score>")

    monkeypatch.setattr("trainers.builders.judges.connect_pool", connect)
    kwargs = "chat_template_kwargs: {enable_thinking: false}"
    entries = f"[{{served: own, model: j, {kwargs}}}, {{served: own, model: k}}, {{served: own, model: j, name: x}}]"
    words = ["verifier=judge", f"output_dir={tmp_path}", f"verifier_args.model={entries}"]
    judge = build_judge(compose(["quickstart_rl", *words], Machine(())).config, ScriptedModel(lambda text, index: ""))
    assert asked == [(["judge-0"], {"enable_thinking": False}), (["judge-1"], {}), (["judge-0"], {})]
    assert asyncio.run(judge.verify("abc", QUESTION)).grade.score == pytest.approx(0.4)
