"""From a configuration to the models it names: servers of ours, foreign APIs, or models in this process."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from transformers import AutoTokenizer

from trainers import plugins
from trainers.builders.servers import connect_pool, layout_of, servers_of, token_counter
from trainers.builders.tools import acting
from trainers.configuration.checks.api_keys import missing_keys
from trainers.configuration.devices.placement import record_name, teacher_entries
from trainers.configuration.settings.experiments import EvaluationExperiment, Experiment, StudentExperiment
from trainers.configuration.settings.in_words import written
from trainers.configuration.settings.models.api_teacher import ApiTeacherSettings
from trainers.configuration.settings.models.judge import JudgeModelSettings
from trainers.configuration.settings.models.student import StudentSettings
from trainers.configuration.settings.runs.prompt_search import ReflectionSettings
from trainers.configuration.settings.students import Member
from trainers.generation.agent_model import AgentModel
from trainers.generation.api.model import ApiModel, ApiSettings
from trainers.generation.api.usage import Account, read_usage
from trainers.generation.client import ModelClient
from trainers.generation.token_estimates import estimated_tokens
from trainers.generation.vllm.endpoint_pool import EndpointPool
from trainers.problems import ConfigurationError, Problem
from trainers.serving.server_spec import Role
from trainers.teaching.lesson import THE_STUDENT
from trainers.teaching.protocol import Teacher
from trainers.teaching.verifiers.judge.verifier import JudgeVerifier

logger = logging.getLogger(__name__)


def connect_students(config: StudentExperiment, students: Sequence[Member]) -> dict[str, ModelClient]:
    """Connect students of a run, by name; those whom the same servers answer in the same way share a connection.

    Raises:
        ConfigurationError: see `connect_student`; of a pool a spent cap is only told, since it costs that student's
            groups alone.
    """
    connected: dict[str, ModelClient] = {}
    shared: dict[str, ModelClient] = {}
    first_at: dict[tuple[str, ...], EndpointPool] = {}
    for member in students:
        student = member.config.student
        if student.base_url or student.agent:
            connected[member.name] = connect_student(member.config, member)
            continue
        specs = servers_of(config, member)
        urls = tuple(spec.base_url for spec in specs)
        answering = written([urls or [student.model, student.dtype], student.chat_template_kwargs])
        if answering not in shared and urls:
            pool = connect_pool(member.config, specs, beside=first_at.get(urls))
            shared[answering] = first_at[urls] = pool
        elif answering not in shared:
            # Without servers of ours a model is loaded into this process.
            shared[answering] = load_model(member.config, "student", student.model)
        connected[member.name] = acting(student, shared[answering])
    return connected


def connect_student(config: StudentExperiment, member: Member | None = None) -> ModelClient:
    """Connect the student of a run, or one of a pool as the run that it would be with this student alone.

    Raises:
        ConfigurationError: when the environment lacks the key of its API, its spending cap was reached before, or it is
            an agent that cannot be made, or has tools that cannot be.
    """
    return acting(config.student, _connected(config, member))


def _connected(config: StudentExperiment, member: Member | None) -> ModelClient:
    if config.student.agent:
        return AgentModel(
            plugins.build(plugins.STUDENT, config),
            call_timeout_s=config.serving.request_timeout_s,
            max_concurrent_calls=config.serving.max_concurrent_requests,
        )
    if config.student.base_url:
        api = api_settings(config.student, config.student.base_url)
        if member is None or member.pool is None:
            return connect_api(config, api, THE_STUDENT)
        return connect_api(config, api, account_role(member), pooled=True)
    if not config.serving.use_vllm_server:
        return load_model(config, "student", config.student.model)
    return connect_pool(config, layout_of(config, "student"))


@asynccontextmanager
async def opened_teacher(config: EvaluationExperiment, name: str) -> AsyncIterator[Teacher]:
    """Connect one teacher of an evaluation, by its name, for as long as it is needed.

    The teachings of an API teacher are measured by the tokenizer that its entry names, or else estimated.

    Raises:
        ConfigurationError: when the environment lacks the key of its API, or its spending cap was reached before.
    """
    entry = teacher_entries(config)[name]
    connection: ModelClient
    if isinstance(entry, Mapping):
        api = ApiTeacherSettings.model_validate(entry)
        connection = connect_api(config, api_settings(api, api.base_url), name)
        count = _counter(config, api.tokenizer) if api.tokenizer else estimated_tokens
    elif not config.serving.use_vllm_server:
        connection, count = load_model(config, "teacher", entry), _counter(config, entry)
    else:
        specs = [spec for spec in layout_of(config, "teacher") if spec.model == entry]
        connection, count = connect_pool(config, specs), _counter(config, specs[0].tokenizer, specs[0].revision)
    try:
        yield Teacher(connection, count)
    finally:
        await connection.aclose()


def account_of(component: object) -> Account | None:
    """Return the account that a model or verifier is charged to; `None` for one that costs nothing by the token."""
    return getattr(component, "account", None)


def accounts_of(verifier: object) -> dict[str, Account]:
    """Return the accounts that a verifier is charged to, by role: those of judges, or its own."""
    if isinstance(verifier, JudgeVerifier):
        return dict(verifier.accounts)
    own = account_of(verifier)
    return {} if own is None else {"verifier": own}


def account_role(member: Member) -> str:
    """Return the role under which a student is charged: its metrics and the record of its usage are named by it."""
    return THE_STUDENT if member.pool is None else f"{THE_STUDENT}-{member.name}"


def usage_file(config: Experiment, name: str) -> Path:
    """Return where the usage of an API model is recorded, by its role or a teacher's name."""
    return Path(config.output.output_dir) / "usage" / record_name(name)


def api_settings(
    model: StudentSettings | ApiTeacherSettings | JudgeModelSettings | ReflectionSettings, base_url: str
) -> ApiSettings:
    """Return where a model behind an API is, and what may be asked of it."""
    return ApiSettings(
        base_url=base_url,
        model=model.model or "",
        api_key_env=model.api_key_env,
        requests_per_minute=model.requests_per_minute,
        tokens_per_minute=model.tokens_per_minute,
        spending_cap=model.spending_cap,
        price_per_million_tokens=model.price_per_million_tokens,
        extra_body=model.extra_body,
    )


def connect_api(config: StudentExperiment, settings: ApiSettings, name: str, *, pooled: bool = False) -> ApiModel:
    """Connect a model behind an API, charged under a name.

    Raises:
        ConfigurationError: when the environment lacks the key of its API, or its spending cap was reached before; of
            one in a pool that is only told.
    """
    problems = list(missing_keys(config))
    if problems:
        raise ConfigurationError(problems)
    file, cap = usage_file(config, name), settings.spending_cap
    spent = read_usage(file).cost_usd
    reached = cap is not None and spent >= cap
    if reached and pooled:
        logger.error("%s: its spending_cap=%s is reached, and its groups are lost until it is raised", name, cap)
    elif reached:
        expected = f"{spent:.4f} USD are spent already, by {file}"
        key = "student_spending_cap" if name == THE_STUDENT else f"{name}: spending_cap"
        raise ConfigurationError([Problem(f"{key}={cap}", expected, "raise the cap to continue")])
    return ApiModel(
        settings,
        name=name,
        usage_file=file,
        request_timeout_s=config.serving.request_timeout_s,
        max_concurrent_requests=config.serving.max_concurrent_requests,
    )


def load_model(config: StudentExperiment, role: Role, model: str) -> ModelClient:
    """Load a model into this process, as one of a role."""
    # Importing it loads torch's and transformers' generation, which runs with servers never need.
    from trainers.generation.local.model import LocalModel

    settings = config.of_role(role)
    return LocalModel.load(
        model,
        dtype=settings.dtype,
        trust_remote_code=config.model.trust_remote_code,
        chat_template_kwargs=settings.chat_template_kwargs,
    )


def _counter(config: Experiment, tokenizer: str, revision: str | None = None) -> Callable[[str], int]:
    trusted = config.model.trust_remote_code
    return token_counter(AutoTokenizer.from_pretrained(tokenizer, revision=revision, trust_remote_code=trusted))
