"""P7: what a weight update costs: HTTP calls per server, bytes for each byte of the model, seconds against memcpy.

    python -m scripts.benchmarks.weights.weight_sync --hidden 1024 --layers 8

Random models of the given size behind real teacher servers, updated over gloo as in training on a CPU.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from pathlib import Path
from statistics import median
from typing import Any

import torch
from transformers import AutoModelForCausalLM, Qwen3Config, Qwen3ForCausalLM

from scripts.benchmarks.tools.measure import Report
from tests.support.free_ports import consecutive_free_ports
from tests.support.tiny import build_tokenizer
from trainers.models.checkpoint_format import checkpoint_metadata, checkpoint_tensors
from trainers.serving.processes.server_group import ServerGroup
from trainers.serving.server_spec import ServerSpec
from trainers.serving.weights.weight_sync import WeightSync, make_transport


def main() -> None:
    """Measures and reports."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hidden", type=int, default=512)
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--servers", type=int, nargs="+", default=[1])
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    report = Report("P7", "weight update", "≤ 6 calls per server, bytes ≤ 1.02 of the model")
    report.columns = ("servers", "model MB", "calls per server", "bytes ÷ model", "seconds", "seconds ÷ memcpy")
    with tempfile.TemporaryDirectory(prefix="weight-sync-") as scratch:
        directory = Path(scratch)
        write_model(directory / "model", arguments.hidden, arguments.layers)
        model = AutoModelForCausalLM.from_pretrained(directory / "model", dtype=torch.float32)
        for count in arguments.servers:
            found = measure(directory, model, count, arguments.repeats)
            report.values[str(count)] = found
            report.rows.append(
                (
                    *(str(count), f"{found['model_bytes'] / 1e6:.0f}", f"{found['calls_per_server']:g}"),
                    *(f"{found['bytes_ratio']:.4f}", f"{found['seconds']:.2f}", f"{found['memcpy_ratio']:.1f}"),
                )
            )
    report.values["arguments"] = vars(arguments)
    first = report.values[str(arguments.servers[0])]
    report.finish(
        f"{first['calls_per_server']:g} calls, {first['bytes_ratio']:.4f}, {first['memcpy_ratio']:.1f} times memcpy"
    )


def measure(directory: Path, model: Any, count: int, repeats: int) -> dict[str, float]:
    """Medians over updates of `count` servers; the first update is not counted."""
    port = consecutive_free_ports(count)
    specs = [
        ServerSpec(
            *("teacher", index, str(directory / "model"), "127.0.0.1", port + index),
            dtype="float32",
            max_model_len=256,
            weight_transfer="gloo",
        )
        for index in range(count)
    ]
    model_bytes = sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())
    with ServerGroup(specs, directory / f"servers-{count}", start_timeout_s=600):
        transport = make_transport("gloo")
        sync = WeightSync([spec.base_url for spec in specs], transport)
        calls = count_calls(sync)
        sync.connect()
        sent = count_bytes(transport)
        seconds = []
        for version in range(repeats + 1):
            calls.clear()
            sent.clear()
            seconds.append(
                sync.update(checkpoint_tensors(model, sharded=False), checkpoint_metadata(model), version + 1)
            )
        sync.close()
    return {
        "model_bytes": model_bytes,
        "calls_per_server": max(calls.values()),
        "bytes_ratio": sum(sent) / model_bytes,
        "seconds": median(seconds[1:]),
        "memcpy_ratio": median(seconds[1:]) / memcpy_seconds(model_bytes),
    }


def count_calls(sync: WeightSync) -> Counter[str]:
    """Counts HTTP requests by server from now on."""
    calls: Counter[str] = Counter()
    sync._control._client.event_hooks["request"].append(lambda request: calls.update([request.url.netloc.decode()]))
    return calls


def count_bytes(transport: Any) -> list[int]:
    """Notes the size of every broadcast from now on."""
    sent: list[int] = []
    group, broadcast = transport._group, transport._group.broadcast

    class Counting:
        def __getattr__(self, name: str) -> Any:
            return getattr(group, name)

        def broadcast(self, tensor: torch.Tensor, root: int) -> Any:
            sent.append(tensor.numel() * tensor.element_size())
            return broadcast(tensor, root)

    transport._group = Counting()
    return sent


def memcpy_seconds(size: int) -> float:
    """Seconds that copying so many bytes from memory to memory takes, the best of several."""
    source, target = torch.ones(size, dtype=torch.uint8), torch.zeros(size, dtype=torch.uint8)
    return min(_timed(source, target) for _ in range(5))


def _timed(source: torch.Tensor, target: torch.Tensor) -> float:
    start = time.perf_counter()
    target.copy_(source)
    return time.perf_counter() - start


def write_model(directory: Path, hidden: int, layers: int) -> None:
    """A random untied float32 Qwen3 and its tokenizer."""
    tokenizer = build_tokenizer()
    config = Qwen3Config(
        vocab_size=32_000,
        hidden_size=hidden,
        intermediate_size=3 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=hidden // 64,
        num_key_value_heads=max(1, hidden // 128),
        head_dim=64,
        max_position_embeddings=1024,
        tie_word_embeddings=False,
        dtype="float32",
    )
    Qwen3ForCausalLM(config).float().save_pretrained(directory)
    tokenizer.save_pretrained(directory)


if __name__ == "__main__":
    main()
