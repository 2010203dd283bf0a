"""The words that ATLAS itself says to a model."""

from __future__ import annotations

from trainers.configuration.settings.key import Settings, key


class PromptSettings(Settings):
    """The user messages of the stages and of the blind check, and a system message for either model."""

    baseline_template: str = key(
        "", "User message that asks the student to solve {question}.", placeholders=("question",)
    )
    probe_template: str = key(
        "", "User message that asks the student for an approach to {question}.", placeholders=("question",)
    )
    teacher_template: str = key(
        "", "User message that gives the teacher {question} and {approach}.", placeholders=("question", "approach")
    )
    taught_template: str = key(
        "",
        "User message that gives the student {question} and {teaching}.",
        placeholders=("question", "teaching"),
        optional_placeholders=("approach",),
    )
    blind_template: str = key(
        "",
        "User message that asks the student for an answer of the form {kind} after {teaching} alone.",
        placeholders=("teaching",),
        optional_placeholders=("kind",),
    )
    midway_template: str = key(
        "",
        "User message that gives a student in the middle of its solution a second {teaching}.",
        placeholders=("teaching",),
    )
    student_system_prompt: str | None = key(None, "System message of the student.")
    teacher_system_prompt: str | None = key(None, "System message of the teacher.")
    max_probe_tokens: int = key(
        500,
        "Token budget of the student's approach; 0 asks for none, and the teacher sees the question alone.",
        ge=0,
        speed=True,
        fits_prompts=True,
    )
