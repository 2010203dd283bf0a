"""The student: who it is, how it is reached, how it samples."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from trainers.configuration.settings.key import EvaluationResume, Number, Resume, Settings, key


class StudentSettings(Settings):
    """A student behind servers of ours or an API. Its keys begin with `student_`."""

    prefix: ClassVar[str] = "student_"

    model: str = key(
        None,
        "The student: hub id, directory, or the name an API knows it by.",
        speed=True,
        reported=True,
        required=True,
    )
    agent: str | None = key(
        None, "Dotted path of a function from text to text, or a class of such, that is the student."
    )
    agent_args: dict[Any, Any] | None = key(None, "Settings of the agent, by the names of its parameters.")
    tools: list[Any] | None = key(
        None,
        "Dotted paths of Python functions that the student may call: what they do is told by their docstrings.",
        speed=True,
        reported=True,
    )
    max_turns: int = key(
        8,
        "Turns of a student with tools, the last answer among them; one that takes more is cut off.",
        ge=1,
        speed=True,
    )
    tool_timeout_s: Number = key(10, "Seconds that one call of a tool may take.", gt=0)
    tool_max_characters: int = key(4000, "Characters of a tool's result that the student reads.", ge=1)
    tool_sandbox: bool = key(
        False, "Whether tools run in the sandbox of answers' code, without network, files and packages."
    )
    base_url: str | None = key(
        None, "OpenAI-compatible API that serves the student instead of a server of ours.", resume=Resume.FREE
    )
    api_key_env: str | None = key(
        "OPENAI_API_KEY",
        "Environment variable that holds the student API's key; null for an API that wants none.",
        resume=Resume.FREE,
    )
    requests_per_minute: Number | None = key(
        None, "Requests the API takes per minute.", gt=0, resume=Resume.FREE, of_api=True
    )
    tokens_per_minute: Number | None = key(
        None,
        "Tokens the API takes per minute, prompts and completions together.",
        gt=0,
        resume=Resume.FREE,
        of_api=True,
    )
    spending_cap: Number | None = key(
        None,
        "US dollars that a run may spend on the student's API; reaching it stops the run with a checkpoint.",
        gt=0,
        resume=Resume.FREE,
        of_api=True,
    )
    price_per_million_tokens: dict[Any, Any] | None = key(
        None,
        "US dollars for a million tokens of the student's API: {prompt: …, completion: …}.",
        resume=Resume.FREE,
        parts=EvaluationResume.FREE,
        reported=True,
        of_api=True,
    )
    extra_body: dict[Any, Any] = key({}, "Fields added to every request to the student's API.", of_api=True)
    temperature: Number = key(0.7, "Sampling temperature of the student.", ge=0, reported=True)
    top_p: Number = key(1.0, "Nucleus of the student.", gt=0, le=1)
    max_tokens: int = key(2048, "Token budget of a solution.", ge=1, speed=True, fits_prompts=True)
    max_model_len: int | None = key(None, "Context of the student's server.", ge=1, fits_prompts=True)
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = key("auto", "Precision of the student's server.")
    gpu_memory_utilization: Number = key(
        0.9, "Share of the GPU for the student's server.", gt=0, le=1, resume=Resume.FREE
    )
    tensor_parallel_size: int = key(1, "GPUs per student server.", ge=1, resume=Resume.FREE)
    chat_template_kwargs: dict[Any, Any] = key({"enable_thinking": False}, "Arguments of the student's chat template.")
