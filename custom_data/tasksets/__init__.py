"""Environments of the package `verifiers`: their tasks as questions, their rewards as a verifier.

That package wants other versions of libraries than ATLAS's locks have, so that it stays in a Python of its own:

- `bridge`: the program that runs there, and imports nothing of ours.
- `process`: that program, from here.
- `verifier`: scores solutions with a task's own rewards.

`python -m custom_data.tasksets --python PYTHON --taskset ID --output ROWS.jsonl` writes the questions.
"""
