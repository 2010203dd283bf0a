"""The settings of `verifier=judge`: `verifier_args`, and the entries of the models in it."""

from __future__ import annotations

from typing import Any, Literal

from trainers.configuration.settings.key import Number, Settings, key


class JudgeModelSettings(Settings):
    """A model that judges: one behind an API (base_url), an agent, one of the run's servers (served), or a model alone.

    Judges of the same model on servers of their own share these.
    """

    model: str | None = key(
        None, "Hub id or directory, or the name that an API knows it by; alone it is loaded into this process."
    )
    base_url: str | None = key(None, "OpenAI-compatible API that serves it, vllm serve among them.")
    agent: str | None = key(None, "Dotted path of a function from text to text, or a class of such, that judges.")
    agent_args: dict[Any, Any] | None = key(None, "Settings of the agent, by the names of its parameters.")
    served: Literal["student", "own"] | None = key(
        None, "own: a server that the launcher starts for model; student: the servers of the run's student."
    )
    name: str | None = key(None, "Its name in messages and accounts, after judge-; null: judge, judge-2, and so on.")
    api_key_env: str | None = key(
        "OPENAI_API_KEY", "Environment variable that holds the API's key; null for an API that wants none."
    )
    requests_per_minute: Number | None = key(None, "Requests the API takes per minute.", gt=0, of_api=True)
    tokens_per_minute: Number | None = key(
        None, "Tokens the API takes per minute, prompts and completions together.", gt=0, of_api=True
    )
    spending_cap: Number | None = key(None, "US dollars that a run may spend on this judge.", gt=0, of_api=True)
    price_per_million_tokens: dict[Any, Any] | None = key(
        None, "US dollars for a million tokens: {prompt: …, completion: …}; needs spending_cap.", of_api=True
    )
    extra_body: dict[Any, Any] = key({}, "Fields added to every request.", of_api=True)
    max_model_len: int | None = key(None, "Context of its own server.", ge=1, of_server=True)
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = key(
        "auto", "Precision of its own server.", of_server=True
    )
    gpu_memory_utilization: Number = key(0.9, "Share of the GPU for its own server.", gt=0, le=1, of_server=True)
    tensor_parallel_size: int = key(1, "GPUs of its own server.", ge=1, of_server=True)
    chat_template_kwargs: dict[Any, Any] = key(
        {}, "Variables of its chat template, on its own server, such as {enable_thinking: false}.", of_server=True
    )
    structured_output: bool = key(
        False, "Hold its answers to a JSON schema (response_format), which its server must know."
    )
    temperature: Number | None = key(None, "Sampling temperature; null: that of verifier_args.", ge=0)
    samples: int | None = key(None, "Answers to each question; null: as many as verifier_args says.", ge=1)


class JudgeSettings(Settings):
    """The judges of a run, what they look at, and how their scores become one."""

    model: str | dict[Any, Any] | list[Any] = key(
        None, "The judge as {base_url: …, model: …}, or several in a list; a text is a model for this process."
    )
    rubric: str | None = key(None, "What counts, in words; null: whether the solution is correct. Needs scale.")
    rubric_file: str | None = key(None, "File with the rubric. Needs scale.")
    scale: list[Any] | None = key(None, "Worst and best number that judges may give; [0,10] without a rubric.")
    samples: int = key(1, "Answers of each judge to one question, each a voice of its own.", ge=1)
    temperature: Number = key(0.0, "Sampling temperature of judges.", ge=0)
    max_tokens: int = key(1024, "Token budget of a judge's answer.", ge=1)
    pairwise: bool = key(False, "Grade each taught solution side by side with the baselines.")
    pass_mark: Number = key(0.5, "Score in [0, 1] from which a solution counts as correct.", gt=0, le=1)
    escalate_to: str | dict[Any, Any] | None = key(
        None, "A stronger judge that decides where the others differ, or one of them fails."
    )
    escalate_above: Number = key(0.15, "Largest less smallest score above which it is asked.", ge=0, le=1)
    timeout_s: Number = key(300.0, "Seconds until an answer is given up, waiting for an API's limits included.", gt=0)
    measured: str | None = key(None, "What judge_agreement wrote about this judge; null warns that nothing did.")
