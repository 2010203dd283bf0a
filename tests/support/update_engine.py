"""vLLM engines in a process of their own, one model after the other, for tests of weight updates.

A `vllm serve` process for each of many models would spend minutes importing the same modules. What is tested is the
same: vLLM's engine with our weight-transfer engine in its worker. The trainer's model cannot live in the same process,
where vLLM changes some of transformers' classes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

Sampled = tuple[list[int], list[float]]
"""The tokens of a completion and their log-probabilities."""
_START_TIMEOUT_S = 300


class UpdateEngine:
    """The control plane of one engine: what `GlooTransport` asks of a `ControlPlane`, and greedy completions."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def load(self, model: Path) -> None:
        """Serve another model."""
        self._ask("load", str(model))

    def greedy(self, prompts: Sequence[Sequence[int]], tokens: int) -> list[Sampled]:
        """Return a completion of so many tokens for each prompt."""
        return self._ask("greedy", [list(prompt) for prompt in prompts], tokens)

    def world_sizes(self) -> list[int]:
        """Return the number of workers, as a list of one engine."""
        return [1]

    def init_weight_transfer_engine(self, init_info: dict[str, Any]) -> None:
        """See `ControlPlane`."""
        self._ask("init_weight_transfer_engine", {"init_info": init_info})

    def start_weight_update(self) -> None:
        """See `ControlPlane`."""
        self._ask("start_weight_update")

    def update_weights(self, update_info: dict[str, Any]) -> None:
        """See `ControlPlane`."""
        self._ask("update_weights", {"update_info": update_info})

    def finish_weight_update(self) -> None:
        """See `ControlPlane`."""
        self._ask("finish_weight_update")

    def recover(self) -> None:
        """Close an update that failed at its end."""
        self._ask("finish_weight_update")

    def _ask(self, method: str, *arguments: Any) -> Any:
        self._connection.send((method, arguments))
        if not self._connection.poll(_START_TIMEOUT_S):
            raise TimeoutError(f"the engine did not answer {method}")
        answer, error = self._connection.recv()
        if error is not None:
            raise RuntimeError(error)
        return answer


@contextmanager
def update_engine() -> Iterator[UpdateEngine]:
    """Start a process that serves models as it is told to, and end it."""
    ours, theirs = get_context("spawn").Pipe()
    process = get_context("spawn").Process(target=_serve, args=(theirs,), daemon=True)
    process.start()
    try:
        yield UpdateEngine(ours)
    finally:
        ours.close()
        process.terminate()
        process.join()


def _serve(connection: Connection) -> None:
    os.environ |= {
        **{"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "TORCH_COMPILE_DISABLE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind"},
        **{"OMP_NUM_THREADS": "1", "VLLM_LOGGING_LEVEL": "ERROR", "VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1"},
    }
    engine = _Engine()
    while True:
        try:
            method, arguments = connection.recv()
        except EOFError:
            return
        try:
            connection.send((getattr(engine, method)(*arguments), None))
        except Exception as error:  # noqa: BLE001 - raised where it was asked for
            connection.send((None, f"{type(error).__name__}: {error}"))


class _Engine:
    def __init__(self) -> None:
        import importlib.metadata

        from trainers.serving.processes.vllm_entry import vllm_version

        importlib.metadata.version = vllm_version
        from vllm.model_executor.models import registry

        import trainers.serving.weights.worker.vllm_plugin  # noqa: F401 - registers our engines

        # vLLM looks at each model class in a new process, because importing one may start CUDA.
        registry._run_in_subprocess = lambda inspect: inspect()
        self._llm: Any = None

    def __getattr__(self, method: str) -> Any:
        """The methods of a weight update are vLLM's own."""
        return getattr(self._llm, method)

    def load(self, model: str) -> None:
        import gc

        from vllm import LLM
        from vllm.distributed import cleanup_dist_env_and_memory

        self._llm = None
        gc.collect()
        cleanup_dist_env_and_memory()
        self._llm = LLM(
            model,
            dtype="float32",
            max_model_len=128,
            max_num_seqs=8,
            max_num_batched_tokens=512,
            enforce_eager=True,
            enable_chunked_prefill=False,
            kv_cache_memory_bytes=2**24,
            skip_tokenizer_init=True,
            logprobs_mode="processed_logprobs",
            weight_transfer_config={"backend": "gloo"},
        )

    def greedy(self, prompts: list[list[int]], tokens: int) -> list[Sampled]:
        from vllm import SamplingParams

        # As a pause before an update does: what the old weights made of a prompt must not be used again.
        self._llm.reset_prefix_cache()
        sampling = SamplingParams(temperature=0, max_tokens=tokens, logprobs=0, ignore_eos=True, detokenize=False)
        asked = [{"prompt_token_ids": prompt} for prompt in prompts]
        found = []
        for output in self._llm.generate(asked, sampling, use_tqdm=False):
            ids = list(output.outputs[0].token_ids)
            steps = zip(ids, output.outputs[0].logprobs, strict=True)
            found.append((ids, [step[token].logprob for token, step in steps]))
        return found
