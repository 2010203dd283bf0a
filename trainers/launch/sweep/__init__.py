"""Sweeps: many runs of one recipe, by all combinations of values or by a search, and what they came to."""
