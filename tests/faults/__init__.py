"""What clusters do to runs: each promise of docs/benchmarks/reliability.md, and the fault that would break it."""
