"""The model servers of a run, and requests to models."""

from __future__ import annotations

from trainers.concurrency.deadlines import REQUEST_S, SERVER_START_S
from trainers.configuration.settings.key import Number, Resume, Settings, key


class ServingSettings(Settings):
    """Addresses and deadlines of model servers."""

    use_vllm_server: bool = key(True, "Generate through vLLM servers: the only mode.")
    vllm_host: str = key("127.0.0.1", "Host of the model servers.", resume=Resume.FREE)
    server_hosts: list[str] | None = key(
        None,
        "Address of the host of each server slot, in a run on several hosts; null: vllm_host.",
        computed=True,
        resume=Resume.FREE,
    )
    vllm_port: int = key(
        8765, "Port of the first server; server i listens on vllm_port + i.", ge=1, le=65535, resume=Resume.FREE
    )
    num_vllm_servers: int = key(
        1, "V of the launcher: server slots, one GPU each.", ge=1, resume=Resume.FREE, speed=True
    )
    request_timeout_s: Number = key(
        REQUEST_S,
        "Seconds a streamed request may be silent, or one step of a weight update may take; an answer that comes whole "
        "may take them for every 6,000 tokens it may have, and at least once.",
        gt=0,
        resume=Resume.FREE,
    )
    server_start_timeout_s: Number = key(
        SERVER_START_S, "Seconds a server may take to start; its model is downloaded before.", gt=0, resume=Resume.FREE
    )
    cpu_cache_gib: Number | None = key(
        None,
        "GiB of keys and values that each server on a CPU holds; null: by its model, context and the free memory.",
        gt=0,
        resume=Resume.FREE,
        speed=True,
    )
    max_concurrent_requests: int = key(256, "Completions in flight per server.", ge=1, resume=Resume.FREE)
    restart_servers: bool = key(
        True,
        "Restart a server of ours that ends or hangs; requests to it wait, and a teacher's is sent the weights again.",
        resume=Resume.FREE,
    )
    max_server_restarts: int = key(
        3,
        "Restarts of each server in one launch, after which its end ends the run with a checkpoint.",
        ge=1,
        resume=Resume.FREE,
        needs="restart_servers",
    )
