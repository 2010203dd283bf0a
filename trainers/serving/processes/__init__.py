"""Start, watch and stop `vllm serve` processes."""
