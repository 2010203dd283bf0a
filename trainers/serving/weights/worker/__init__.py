"""Receive new weights inside vLLM's worker processes."""
