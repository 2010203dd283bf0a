"""The faults that clusters bring, done to runs: each promise of docs/benchmarks/reliability.md is held by one."""
