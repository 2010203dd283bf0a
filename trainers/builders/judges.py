"""From `verifier_args` to judges: APIs, agents, models in this process, or the servers that hold the student."""

from __future__ import annotations

from dataclasses import dataclass

from trainers.builders.judge_agents import made_agent
from trainers.builders.servers import connect_pool, layout_of
from trainers.builders.student_and_teacher import account_of, api_settings, connect_api, load_model
from trainers.configuration.settings.experiments import StudentExperiment
from trainers.configuration.settings.judges import (
    OWN,
    JudgeEntry,
    entries,
    judge_args,
    judge_settings,
    rubric_of,
    stronger,
)
from trainers.configuration.settings.models.judge import JudgeSettings
from trainers.generation.agent_model import AgentModel
from trainers.generation.types import Generator
from trainers.teaching.verifiers.judge.pairwise import PairwiseJudgeVerifier
from trainers.teaching.verifiers.judge.panel import Judge, JudgePanel
from trainers.teaching.verifiers.judge.verifier import JudgeVerifier


@dataclass(frozen=True)
class _Connected:
    judge: Judge
    owned: bool


def build_judge(config: StudentExperiment, student: Generator) -> JudgeVerifier:
    """Connect the judges of a run.

    Args:
        config: the run, with `verifier=judge`.
        student: its student, which may be a judge, too.

    Raises:
        ConfigurationError: when an agent cannot be made, the environment lacks the key of an API, or a spending cap was
            reached before.
    """
    args = judge_args(config.teaching)
    assert args is not None
    settings = judge_settings(args)
    panel = [_connected(config, entry, settings, student) for entry in entries(args)]
    last = stronger(args)
    highest = _connected(config, last, settings, student) if last else None
    everyone = [*panel, *([highest] if highest else [])]
    owned = [each.judge for each in everyone if each.owned]
    charged = {judge.name: account_of(judge.model) for judge in owned}
    kind = PairwiseJudgeVerifier if settings.pairwise else JudgeVerifier
    return kind(
        JudgePanel(tuple(each.judge for each in panel), highest.judge if highest else None, settings.escalate_above),
        rubric_of(settings),
        pass_mark=settings.pass_mark,
        max_tokens=settings.max_tokens,
        timeout_s=settings.timeout_s,
        seed=config.output.seed,
        closing=[judge.model for judge in owned],
        accounts={name: account for name, account in charged.items() if account is not None},
    )


def _connected(config: StudentExperiment, entry: JudgeEntry, settings: JudgeSettings, student: Generator) -> _Connected:
    model = entry.model
    temperature = settings.temperature if model.temperature is None else model.temperature
    samples = settings.samples if model.samples is None else model.samples
    lent = model.served is not None and model.served != OWN
    connection = student if lent else _connection(config, entry)
    judge = Judge(entry.name, connection, float(temperature), samples, model.structured_output)
    return _Connected(judge, owned=not lent)


def _connection(config: StudentExperiment, entry: JudgeEntry) -> Generator:
    model = entry.model
    if model.base_url:
        return connect_api(config, api_settings(model, model.base_url), entry.name)
    if model.agent:
        return AgentModel(
            made_agent(entry),
            call_timeout_s=config.serving.request_timeout_s,
            max_concurrent_calls=config.serving.max_concurrent_requests,
        )
    assert model.model is not None
    if model.served == OWN:
        specs = [spec for spec in layout_of(config, "judge") if spec.model == model.model]
        return connect_pool(config, specs, template_kwargs=model.chat_template_kwargs)
    return load_model(config, "student", model.model)
