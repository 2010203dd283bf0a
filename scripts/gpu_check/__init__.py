"""Check a machine with GPUs in minutes, without a hub: see `bash scripts/gpu_check.sh --help`."""
