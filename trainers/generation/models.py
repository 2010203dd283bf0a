"""Models for your own code: `from trainers.generation.models import served_model, api_model, local_model`.

Each gives a generator that `trainers.teaching.AdaptiveTeacher` takes as teacher or student. Close it with `aclose()`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from trainers.generation.api.model import ApiModel, ApiSettings
from trainers.generation.chat_templates.rendering import ChatRenderer
from trainers.generation.vllm.endpoint_pool import EndpointPool
from trainers.serving.run_token import RUN_TOKEN

if TYPE_CHECKING:
    from trainers.generation.local.model import LocalModel

__all__ = ["api_model", "local_model", "served_model"]


def served_model(
    base_urls: str | Sequence[str],
    model: str,
    *,
    tokenizer: str | None = None,
    api_key_env: str = RUN_TOKEN,
    chat_template_kwargs: Mapping[str, Any] | None = None,
    **options: Any,
) -> EndpointPool:
    """Return a model on `vllm serve` processes of yours, addressed without `/v1`; options are those of `EndpointPool`.

    `tokenizer` is a path or hub id, by default the name under which the servers know the model. `api_key_env` is the
    environment variable with the key that they ask for, if it is set.
    """
    options.setdefault("api_key", os.environ.get(api_key_env))
    urls = [base_urls] if isinstance(base_urls, str) else list(base_urls)
    return EndpointPool(urls, model, ChatRenderer(tokenizer or model, chat_template_kwargs), **options)


def api_model(
    base_url: str,
    model: str,
    *,
    api_key_env: str | None = "OPENAI_API_KEY",
    requests_per_minute: float | None = None,
    tokens_per_minute: float | None = None,
    spending_cap: float | None = None,
    price_per_million_tokens: Mapping[str, float] | None = None,
    extra_body: Mapping[str, Any] | None = None,
    **options: Any,
) -> ApiModel:
    """Return a model behind an OpenAI-compatible chat API, addressed with `/v1`; options are those of `ApiModel`.

    Raises:
        ValueError: when the address is none, the environment lacks the key, or there is a cap without prices.
    """
    settings = ApiSettings(
        base_url,
        model,
        api_key_env,
        requests_per_minute,
        tokens_per_minute,
        spending_cap,
        price_per_million_tokens,
        extra_body or {},
    )
    return ApiModel(settings, **options)


def local_model(model: str, **options: Any) -> LocalModel:
    """Return a model loaded into this process from a path or the hub; options are those of `LocalModel.load`."""
    # Importing it loads torch and transformers, which a program with APIs only never needs.
    from trainers.generation.local.model import LocalModel

    return LocalModel.load(model, **options)
