"""Decide whether a run starts, continues an earlier one, or is complete."""
