"""ATLAS: teachers that make any student solve more.

- `teaching` is the protocol itself: prompts, lessons, verdicts, leaks, reward. No HTTP, no TRL.
- `traces` writes down lessons of a teacher in use, redacted, for a next one to learn from.
- `generation` asks any model: our servers, chat APIs, models in this process, functions. It knows nothing of teaching.
- `serving` starts, watches and updates model servers.
- `configuration` turns keys into typed settings and refuses what cannot work.
- `plugins` makes components of a user's own: rewards, verifiers, students, row readers.
- `builders` makes protocol, models and data out of settings.
- `models` loads, adapts, merges and saves what is trained; `grpo` has the parts of a step that TRL lacks.
- `output` keeps the output directory: its lock, whole files, whole checkpoints.
- `training` is what both trainings add to transformers' trainer.
- `sft`, `teacher_grpo` and `evaluation` join these into the three experiments that `train.py` runs.
- `launch` checks a run, places servers and trainer on devices and supervises them.
- `service` puts a teacher behind an API, `plotting` draws; `callbacks`, `progress` and `distributed` serve trainers.
"""

__version__ = "0.1.0"
