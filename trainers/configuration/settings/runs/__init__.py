"""Declare the keys of what a run does: data, training, rollouts, lessons, evaluation, output."""
