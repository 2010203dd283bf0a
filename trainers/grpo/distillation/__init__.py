"""On-policy distillation: a mentor's log-probabilities of the policy's own teachings, in place of the reward."""
