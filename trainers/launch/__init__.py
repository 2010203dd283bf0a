"""Starts a run: servers, then the trainer under accelerate, watched together and stopped together.

`python -m trainers.launch --servers V --trainers T RECIPE …` is what the scripts in scripts/ call.
"""
