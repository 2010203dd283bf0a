"""Ask `vllm serve` processes: token ids in, token ids out, over a pool of endpoints."""
