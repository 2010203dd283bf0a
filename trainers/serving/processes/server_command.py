"""From a server's spec to the exact command line and environment that start it."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from trainers.paths import program_path, python_path
from trainers.serving.interfaces import LOOPBACK, gloo_at
from trainers.serving.processes.command import Command
from trainers.serving.processes.cuda_devices import cuda_devices
from trainers.serving.server_spec import ServerSpec
from trainers.serving.weights.transports import transport_entry

_ENTRY_MODULE = "trainers.serving.processes.vllm_entry"
# Named and not imported: a launcher need not load the web framework of its servers.
_TOKEN_MIDDLEWARE = "trainers.serving.processes.access.TokenRequired"
_INSTANCE_MIDDLEWARE = "trainers.serving.instances.InstanceMiddleware"
_WORKER_EXTENSION = "trainers.serving.weights.worker.vllm_plugin.WorkerExtension"
# Settings of the user's shell that would change what our servers are: the run's token is all that they ask for, and the
# launcher's own process group variables are not theirs.
_NOT_INHERITED = ("VLLM_API_KEY", "RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
# The ranks that vLLM's --max-lora-rank takes; an adapter is padded to the next.
_LORA_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)


def server_command(spec: ServerSpec) -> Command:
    """Return the `vllm serve` command of a spec.

    Nothing is read from the machine, so that it can be printed and compared.
    """
    argv = [sys.executable, "-m", _ENTRY_MODULE, "serve", spec.weights, "--host", spec.host, "--port", str(spec.port)]
    argv += _model_arguments(spec)
    # Requests state every sampling parameter; a generation_config.json in the model must not add its own.
    argv += ["--generation-config", "vllm"]
    # Log-probabilities of the distribution that was sampled from, as the importance correction needs them.
    argv += ["--logprobs-mode", "processed_logprobs"]
    argv += ["--max-num-seqs", str(spec.max_num_seqs), "--seed", str(spec.seed), "--disable-uvicorn-access-log"]
    argv += ["--middleware", _INSTANCE_MIDDLEWARE]
    argv += _gpu_arguments(spec) if spec.gpus else _cpu_arguments(spec)
    argv += _adapter_arguments(spec) if spec.adapter else []
    argv += _weight_transfer_arguments(spec)
    argv += _form_arguments(spec)
    argv += spec.extra_args
    # The last one is the outermost.
    argv += ["--middleware", _TOKEN_MIDDLEWARE]
    return Command(tuple(argv), _environment(spec))


def inherited_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the part of the launcher's environment that a server inherits."""
    inherited = {name: value for name, value in environment.items() if name not in _NOT_INHERITED}
    inherited.setdefault("OMP_NUM_THREADS", "1")
    inherited["PYTHONPATH"] = python_path(environment)
    inherited["PATH"] = program_path(environment)
    # A server's own processes are on one host; the group that weights come by chooses its interface itself.
    inherited |= gloo_at(LOOPBACK)
    # What a server says stands in its log at once, and its last words are the log's.
    inherited["PYTHONUNBUFFERED"] = "1"
    return inherited


def _model_arguments(spec: ServerSpec) -> list[str]:
    arguments = ["--dtype", spec.dtype]
    if spec.max_model_len is not None:
        arguments += ["--max-model-len", str(spec.max_model_len)]
    if spec.revision is not None:
        arguments += ["--revision", spec.revision]
        # A tokenizer that lies with an adapter has no revisions.
        arguments += ["--tokenizer-revision", spec.revision] if spec.tokenizer == spec.weights else []
    if spec.trust_remote_code:
        arguments.append("--trust-remote-code")
    return arguments


def _adapter_arguments(spec: ServerSpec) -> list[str]:
    assert spec.adapter is not None
    arguments = ["--tokenizer", spec.tokenizer]
    if spec.weight_transfer is not None:
        return [*arguments, "--served-model-name", spec.model]
    rank = next((rank for rank in _LORA_RANKS if rank >= spec.adapter.rank), spec.adapter.rank)
    module = json.dumps({"name": spec.model, "path": str(Path(spec.adapter.path).expanduser().absolute())})
    return [*arguments, "--enable-lora", "--max-lora-rank", str(rank), "--lora-modules", module]


def _gpu_arguments(spec: ServerSpec) -> list[str]:
    return [
        *("--gpu-memory-utilization", str(spec.gpu_memory_utilization)),
        *("--tensor-parallel-size", str(spec.tensor_parallel_size)),
    ]


def _cpu_arguments(spec: ServerSpec) -> list[str]:
    # A prompt that is prefilled in parts makes vLLM rewind its seeded generator, which a CPU generator refuses; the
    # exception kills the engine. Whole prompts never take that path.
    return ["--enforce-eager", "--no-enable-chunked-prefill", "--kv-cache-memory-bytes", str(spec.kv_cache_bytes)]


def _form_arguments(spec: ServerSpec) -> list[str]:
    """Return how answers are held to a JSON schema, which allows white space for ever: a weak model stays in it."""
    if spec.role != "judge":
        return []
    return ["--structured-outputs-config", json.dumps({"backend": "xgrammar", "disable_any_whitespace": True})]


def _weight_transfer_arguments(spec: ServerSpec) -> list[str]:
    if spec.weight_transfer is None:
        return []
    backend = json.dumps({"backend": transport_entry(spec.weight_transfer).backend})
    return ["--weight-transfer-config", backend, "--worker-extension-cls", _WORKER_EXTENSION]


def _environment(spec: ServerSpec) -> dict[str, str]:
    environment = {
        "VLLM_NO_USAGE_STATS": "1",
        # vLLM closes idle connections after 5 s; a client whose next request is just on its way would lose it.
        "VLLM_HTTP_TIMEOUT_KEEP_ALIVE": "600",
    }
    if Path(spec.weights).is_absolute():
        # Nothing to look up on the hub, whose absence would cost retries.
        environment["HF_HUB_OFFLINE"] = "1"
    if spec.weight_transfer is not None:
        environment["VLLM_SERVER_DEV_MODE"] = "1"
        environment |= transport_entry(spec.weight_transfer).environment
    environment |= cuda_devices(spec.gpus) if spec.gpus else _cpu_environment(spec)
    return environment


def _cpu_environment(spec: ServerSpec) -> dict[str, str]:
    environment = {
        # Otherwise the first request waits up to 30 s for the sampler to be compiled.
        "TORCH_COMPILE_DISABLE": "1",
        # Automatic binding puts every server on the same core.
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    }
    if spec.tensor_parallel_size == 1:
        # The model runs in the engine's process: one process less to start and to talk to.
        environment["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    return environment
