"""Train a teacher by GRPO: lessons as rollouts, and a policy pass without padding.

`rollouts` turns questions into training rows, `overlap` runs one batch ahead, `lesson_batches`, `step_metrics` and
`stopping` look at what came of it; `question_order` and `checkpoint_files` make a resumed run an uninterrupted one.
`trl` holds all that TRL does not promise to keep, `unpadded` what a pass without padding computes.
"""
