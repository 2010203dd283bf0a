"""Compute batches, and check when a run evaluates, saves, warms up and ends."""
