"""From a resolved configuration to the parts that training and evaluation share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from trainers import plugins
from trainers.configuration.settings.experiments import StudentExperiment
from trainers.configuration.settings.models.prompts import PromptSettings
from trainers.configuration.settings.runs.teaching import audited_share
from trainers.configuration.settings.students import Member, all_members, heldout_members, members
from trainers.generation.types import Generator, Sampling
from trainers.teaching.leaks.audit import BlindAudit
from trainers.teaching.lesson import midway_turn
from trainers.teaching.prompts import PromptTemplates
from trainers.teaching.protocol import Protocol, Stages, derive_seed
from trainers.teaching.reward import Reward, off_the_loop
from trainers.teaching.student_pool import StudentPool
from trainers.teaching.verifiers import Verifier, as_verifier
from trainers.teaching.verifiers.accepted_answers import AnyAcceptedAnswer
from trainers.teaching.verifiers.mathematics.verifier import ExactVerifier, MathVerifier
from trainers.teaching.verifiers.names import JUDGE


def build_protocol(config: StudentExperiment, student: Generator) -> Protocol:
    """Build the teaching protocol with the templates, verifier, reward and sampling of a configuration."""
    protocol = Protocol(
        student=student,
        templates=prompt_templates(config.prompts),
        verifier=verifier_beside(student, config),
        reward=make_reward(config),
        stages=stages(config),
        seed=config.output.seed,
        midway_at=midway_turn(config.teaching.teach_at),
    )
    return replace(protocol, audit=blind_audit(config, protocol))


def build_lessons(
    config: StudentExperiment, clients: Mapping[str, Generator]
) -> tuple[Protocol | StudentPool, Protocol | StudentPool | None]:
    """Build how a run's lessons are made, and how those of held-out students, `None` where there are none.

    Args:
        config: the run.
        clients: the models of all its students, by name.
    """
    protocols, held_out = build_protocols(config, clients), heldout_members(config)
    return _drawn_from(members(config), protocols, config.output.seed), (
        _drawn_from(held_out, protocols, config.output.seed) if held_out else None
    )


def solved_in_part(lessons: Protocol | StudentPool, share: float) -> Protocol | StudentPool:
    """Return the same lessons, of which students solve a share of the questions only."""
    if isinstance(lessons, Protocol):
        return replace(lessons, solved_share=share)
    protocols = {name: replace(one, solved_share=share) for name, one in lessons.protocols.items()}
    return replace(lessons, protocols=protocols)


def build_protocols(config: StudentExperiment, clients: Mapping[str, Generator]) -> dict[str, Protocol]:
    """Build the teaching protocol of each student of a run, by name; they share verifier, reward and tally."""
    first, *others = all_members(config)
    shared = build_protocol(first.config, clients[first.name])
    protocols = {first.name: replace(shared, name=first.name)}
    for member in others:
        own = replace(
            shared,
            student=clients[member.name],
            templates=prompt_templates(member.config.prompts),
            stages=stages(member.config),
            name=member.name,
        )
        protocols[member.name] = replace(own, audit=blind_audit(member.config, own))
    return protocols


def _drawn_from(pool: Sequence[Member], protocols: Mapping[str, Protocol], seed: int) -> Protocol | StudentPool:
    """Return the lessons of a pool, for one student alone its own."""
    if len(pool) == 1:
        return protocols[pool[0].name]
    weights = {member.name: member.weight for member in pool}
    return StudentPool({name: protocols[name] for name in weights}, weights, seed)


def prompt_templates(prompts: PromptSettings) -> PromptTemplates:
    """Return the templates of a configuration."""
    return PromptTemplates(
        baseline_template=prompts.baseline_template,
        probe_template=prompts.probe_template,
        teacher_template=prompts.teacher_template,
        taught_template=prompts.taught_template,
        student_system_prompt=prompts.student_system_prompt,
        teacher_system_prompt=prompts.teacher_system_prompt,
        blind_template=prompts.blind_template,
        midway_template=prompts.midway_template,
    )


def blind_audit(config: StudentExperiment, protocol: Protocol) -> BlindAudit | None:
    """Return what makes blind checks of a student's teachings; `None` where none are asked for."""
    teaching = config.teaching
    share = audited_share(teaching)
    if share == 0:
        return None
    return BlindAudit(
        protocol.student,
        protocol.templates,
        protocol.verifier,
        max_tokens=min(teaching.leak_audit_max_tokens, config.student.max_tokens),
        share=share,
        samples=teaching.leak_audit_samples,
        alpha=teaching.leak_audit_alpha,
        guess_seed=derive_seed(protocol.seed, 0, 0, "guess"),
        tally=protocol.tally,
    )


def make_reward(config: StudentExperiment) -> Reward:
    """Make the reward that `reward` names, or else ours.

    Raises:
        ConfigurationError: when it cannot be made.
    """
    return off_the_loop(plugins.build(plugins.REWARD, config))


def verifier_beside(student: Generator, config: StudentExperiment) -> Verifier:
    """Make the verifier of a run: the one that `verifier` names, or judges, among whom the student itself may be.

    Raises:
        ConfigurationError: when it cannot be made.
    """
    if config.teaching.verifier != JUDGE:
        return make_verifier(config)
    # What connects models loads transformers, which runs with rules alone need not wait for.
    from trainers.builders.judges import build_judge

    return build_judge(config, student)


def make_verifier(config: StudentExperiment) -> Verifier:
    """Make the verifier that `verifier` names; judges are made by `build_judge`.

    Raises:
        ConfigurationError: when it cannot be made.
    """
    made = as_verifier(plugins.build(plugins.VERIFIER, config), timeout_s=config.teaching.verifier_timeout_s)
    return AnyAcceptedAnswer(made) if isinstance(made, MathVerifier | ExactVerifier) else made


def stages(config: StudentExperiment) -> Stages:
    """Return how each stage samples: the student's by the student's keys, the teacher's by TRL's."""
    student = Sampling(
        max_tokens=config.student.max_tokens,
        temperature=config.student.temperature,
        top_p=config.student.top_p,
    )
    return Stages(
        student=student,
        probe=Sampling(config.prompts.max_probe_tokens, student.temperature, student.top_p),
        teacher=Sampling(
            max_tokens=config.sampling.max_completion_length,
            temperature=config.sampling.temperature,
            top_p=config.sampling.top_p,
            top_k=config.sampling.top_k,
            min_p=config.sampling.min_p or 0.0,
            repetition_penalty=config.sampling.repetition_penalty,
        ),
    )
