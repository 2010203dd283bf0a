"""A teacher behind an API: an entry of `teacher=` that is a table."""

from __future__ import annotations

from typing import Any

from trainers.configuration.settings.key import Number, Resume, Settings, key


class ApiTeacherSettings(Settings):
    """The model that teaches, and how its API is reached and paid. The first two are needed."""

    base_url: str = key(None, "OpenAI-compatible API that serves the teacher.", required=True, resume=Resume.FREE)
    model: str = key(None, "The name that the API knows the model by.", required=True)
    api_key_env: str | None = key(
        "OPENAI_API_KEY",
        "Environment variable that holds the API's key; null for an API that wants none.",
        resume=Resume.FREE,
    )
    requests_per_minute: Number | None = key(None, "Requests the API takes per minute.", gt=0, resume=Resume.FREE)
    tokens_per_minute: Number | None = key(
        None, "Tokens the API takes per minute, prompts and completions together.", gt=0, resume=Resume.FREE
    )
    spending_cap: Number | None = key(
        None, "US dollars that an evaluation may spend on this teacher.", gt=0, resume=Resume.FREE
    )
    price_per_million_tokens: dict[Any, Any] | None = key(
        None, "US dollars for a million tokens: {prompt: …, completion: …}.", resume=Resume.FREE
    )
    extra_body: dict[Any, Any] = key({}, "Fields added to every request.")
    tokenizer: str | None = key(None, "Tokenizer that measures its teachings; null estimates their length.")
