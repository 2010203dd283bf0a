"""Estimate memory, disk, steps and tokens of a run."""
