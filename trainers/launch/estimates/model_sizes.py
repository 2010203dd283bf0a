"""A model's sizes, by its `config.json` and its weights' headers: enough to count parameters without loading any."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

from trainers.hub_ids import is_hub_id, looks_local
from trainers.serving.adapter_files import read_adapter

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
COUNTED_BY_FORMULA = frozenset({"llama", "mistral", "qwen2", "qwen3"})
"""Model types whose parameters `ModelShape.counted` counts to within their norms and biases."""

_QWEN3 = {"model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"], "dtype": "bfloat16", "vocab_size": 151_936}
_QWEN3 |= {"num_key_value_heads": 8, "head_dim": 128, "max_position_embeddings": 40_960}


def _qwen3(hidden: int, layers: int, heads: int, feed_forward: int, tied: bool) -> dict[str, Any]:
    sizes = {"hidden_size": hidden, "num_hidden_layers": layers, "num_attention_heads": heads}
    return {**_QWEN3, **sizes, "intermediate_size": feed_forward, "tie_word_embeddings": tied}


KNOWN: Mapping[str, Mapping[str, Any]] = {
    "Qwen/Qwen3-0.6B": _qwen3(1024, 28, 16, 3072, True),
    "Qwen/Qwen3-1.7B": _qwen3(2048, 28, 16, 6144, True),
    "Qwen/Qwen3-4B": _qwen3(2560, 36, 32, 9728, True),
    "Qwen/Qwen3-8B": _qwen3(4096, 36, 32, 12_288, False),
    "Arc-Intelligence/ATLAS-8B-Thinking": _qwen3(4096, 36, 32, 12_288, False),
    "Arc-Intelligence/ATLAS-8B-Instruct": _qwen3(4096, 36, 32, 12_288, False),
}
"""The models of configs/model, so that a plan can be made where the hub cannot be reached."""


@dataclass(frozen=True)
class ModelShape:
    """Sizes of a decoder. `bytes_each` is that of a parameter as stored; `exact` a count that replaces the formula."""

    model_type: str
    architecture: str
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    feed_forward: int
    vocabulary: int
    tied: bool
    positions: int | None
    bytes_each: int
    experts: int = 1
    exact: int | None = None

    @property
    def parameters(self) -> int:
        """All parameters, tied ones once."""
        return self.exact if self.exact is not None else self.counted

    @property
    def counted(self) -> int:
        """The parameters by formula: embeddings, output layer, attention, gated feed-forward blocks, norms."""
        return self.embedding * (1 if self.tied else 2) + self.layers * self.layer + self.hidden

    @property
    def embedding(self) -> int:
        """Parameters of the embedding, and of the output layer."""
        return self.vocabulary * self.hidden

    @property
    def layer(self) -> int:
        """Parameters of one decoder layer."""
        linear = sum(inside * outside for inside, outside in self.linear.values())
        experts = linear - self._attention
        router = self.hidden * self.experts if self.experts > 1 else 0
        norms = 2 * self.hidden + (2 * self.head_dim if self.model_type.startswith("qwen3") else 0)
        return self._attention + self.experts * experts + router + norms

    @property
    def linear(self) -> dict[str, tuple[int, int]]:
        """Inputs and outputs of each linear map of a layer (of one expert)."""
        queries, keys = self.heads * self.head_dim, self.kv_heads * self.head_dim
        return {
            "q_proj": (self.hidden, queries),
            "k_proj": (self.hidden, keys),
            "v_proj": (self.hidden, keys),
            "o_proj": (queries, self.hidden),
            "gate_proj": (self.hidden, self.feed_forward),
            "up_proj": (self.hidden, self.feed_forward),
            "down_proj": (self.feed_forward, self.hidden),
        }

    @property
    def cache_per_token(self) -> int:
        """Bytes of keys and values that one token occupies in a server."""
        return 2 * self.layers * self.kv_heads * self.head_dim * self.bytes_each

    @property
    def _attention(self) -> int:
        return sum(prod(self.linear[name]) for name in ("q_proj", "k_proj", "v_proj", "o_proj"))


def shape_of(described: Mapping[str, Any]) -> ModelShape | None:
    """Return the shape that a `config.json` describes; `None` when it describes no decoder of the usual kind."""
    text = {**described, **(described.get("text_config") or {})}
    try:
        hidden, heads = int(text["hidden_size"]), int(text["num_attention_heads"])
        return ModelShape(
            model_type=str(text.get("model_type", "")),
            architecture=(described.get("architectures") or [""])[0],
            hidden=hidden,
            layers=int(text["num_hidden_layers"]),
            heads=heads,
            kv_heads=int(text.get("num_key_value_heads") or heads),
            head_dim=int(text.get("head_dim") or hidden // heads),
            feed_forward=int(text.get("moe_intermediate_size") or text["intermediate_size"]),
            vocabulary=int(text["vocab_size"]),
            tied=bool(text.get("tie_word_embeddings", False)),
            positions=positions(text),
            bytes_each=BYTES.get(str(text.get("dtype") or text.get("torch_dtype")), 2),
            experts=int(text.get("num_experts") or text.get("num_local_experts") or 1),
        )
    except (KeyError, TypeError, ValueError):
        return None


def positions(described: Mapping[str, Any]) -> int | None:
    """Return the longest sequence a model takes, stretched where its rotary embedding says so; `None` if unsaid."""
    limit = described.get("max_position_embeddings")
    if not isinstance(limit, int):
        return None
    rope = described.get("rope_scaling") or described.get("rope_parameters") or {}
    kind, factor = rope.get("rope_type", rope.get("type")), rope.get("factor")
    if kind == "yarn" and factor:
        return int(rope.get("original_max_position_embeddings", limit) * factor)
    return int(limit * factor) if kind in ("linear", "dynamic") and factor else limit


def local_shape(model: str) -> ModelShape | None:
    """Return the shape of a model that is on this machine, or in its cache of the hub, or else one that is known.

    Nothing is downloaded. The weights of a directory are counted, so that unusual architectures count right. An
    adapter has the shape of its base.
    """
    shape = declared_shape(model)
    adapter = read_adapter(model)
    directory = Path(adapter.base if adapter else model).expanduser()
    return replace(shape, exact=count_weights(directory)) if shape and directory.is_dir() else shape


def declared_shape(model: str) -> ModelShape | None:
    """Return the shape of a model as its `config.json` has it, of which the parameters are not counted."""
    adapter = read_adapter(model)
    model = adapter.base if adapter else model
    directory = Path(model).expanduser()
    if directory.is_dir():
        return _read(directory / "config.json")
    if looks_local(model) or not is_hub_id(model):
        return None
    return _read(_cached(model)) or (shape_of(KNOWN[model]) if model in KNOWN else None)


def count_weights(directory: Path) -> int | None:
    """Count the parameters in the safetensors files of a model's directory; `None` when none can be read."""
    # The hub's library takes most of a second to import, which plans of models on the hub need not spend.
    from huggingface_hub import get_local_safetensors_metadata
    from huggingface_hub.errors import NotASafetensorsRepoError, SafetensorsParsingError

    try:
        return sum(get_local_safetensors_metadata(directory).parameter_count.values()) or None
    except (NotASafetensorsRepoError, SafetensorsParsingError, OSError, ValueError, LookupError):
        return None


def _read(path: Path | None) -> ModelShape | None:
    if path is None or not path.is_file():
        return None
    try:
        return shape_of(json.loads(path.read_text(encoding="utf-8")))
    except json.JSONDecodeError:
        return None


def _cached(model: str) -> Path | None:
    # The hub's library takes a moment to import, which plans of local models need not spend.
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(model, "config.json")
    return Path(found) if isinstance(found, str) else None
