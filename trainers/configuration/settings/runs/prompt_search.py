"""The search for better prompts: which templates, how many lessons, and the model that proposes them."""

from __future__ import annotations

from typing import Any, ClassVar

from trainers.configuration.settings.key import EvaluationResume, Number, Settings, key


class PromptSearchSettings(Settings):
    """The templates that are searched for, and the lessons that may be held for it."""

    searched_templates: list[str] = key(
        ["teacher_template"],
        "Templates that are searched for, of baseline_template, probe_template, teacher_template and taught_template.",
    )
    search_budget: int = key(
        2000, "Lessons that a search may hold; it ends once they are held.", ge=1, parts=EvaluationResume.FREE
    )
    search_validation: int = key(32, "Questions on which all templates that are kept are compared.", ge=1)
    search_minibatch: int = key(
        8, "Questions on which a template is tried first, and which its successor is made of.", ge=1
    )


class ReflectionSettings(Settings):
    """The model that reads lessons and proposes better templates. Its keys begin with `reflection_`."""

    prefix: ClassVar[str] = "reflection_"

    model: str | None = key(None, "Name by which an API knows it; null: the teacher itself reflects.")
    base_url: str | None = key(None, "OpenAI-compatible API that serves it.", parts=EvaluationResume.FREE)
    api_key_env: str | None = key(
        "OPENAI_API_KEY",
        "Environment variable that holds the API's key; null for an API that wants none.",
        parts=EvaluationResume.FREE,
    )
    agent: str | None = key(None, "Dotted path of a function from text to text, or a class of such, that proposes.")
    agent_args: dict[Any, Any] | None = key(None, "Settings of the agent, by the names of its parameters.")
    requests_per_minute: Number | None = key(
        None, "Requests the API takes per minute.", gt=0, parts=EvaluationResume.FREE
    )
    tokens_per_minute: Number | None = key(
        None,
        "Tokens the API takes per minute, prompts and completions together.",
        gt=0,
        parts=EvaluationResume.FREE,
    )
    spending_cap: Number | None = key(
        None, "US dollars that may be spent on the API.", gt=0, parts=EvaluationResume.FREE
    )
    price_per_million_tokens: dict[Any, Any] | None = key(
        None, "US dollars for a million tokens: {prompt: …, completion: …}.", parts=EvaluationResume.FREE
    )
    extra_body: dict[Any, Any] = key({}, "Fields added to every request.")
    temperature: Number = key(1.0, "Sampling temperature of the reflection.", ge=0)
    max_tokens: int = key(2048, "Token budget of a reflection.", ge=1)
