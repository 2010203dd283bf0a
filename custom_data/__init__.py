"""Datasets: where they come from (`sources`), what their columns are called (`columns`), and the embedded world."""
