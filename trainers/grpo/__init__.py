"""The parts of a GRPO step that TRL does not have: lessons as rollouts, and a policy pass without padding.

`rollouts` turns questions into training rows, `overlap` runs one batch ahead, `harvest`, `step_metrics` and `stopping`
look at what came of it, and `trl_seams` hands it to TRL; `question_order` and `resumption` make a resumed run the
uninterrupted one; `lean`, `alignment`, `microbatches`, `sampled_head` and `importance` are the pass itself, and
`pooled_metrics` what is logged of it.
"""
