"""Turn conversations into token ids by a model's own chat template; no text can pass for a turn."""
