"""ATLAS: teachers that make any student solve more.

- `teaching` is the protocol itself: prompts, lessons, verdicts, leaks, reward. No HTTP, no TRL.
- `serving` starts, reaches and updates model servers. It knows nothing of teaching.
- `configuration` turns Hydra keys into component parameters and refuses what cannot work.
- `launch` places servers and trainer on devices and supervises them.
- `models` loads, adapts, merges and saves what is trained; `grpo` has the parts of a step that TRL lacks.
- `sft`, `teacher_grpo` and `evaluation` join these into the three experiments that `train.py` runs.
- `plugins` makes components of a user's own: rewards, verifiers, students, row readers.
- `service` puts a teacher behind an API, `plots` draws, and the modules beside this one connect the packages.
"""

__version__ = "0.1.0"
