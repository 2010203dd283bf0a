"""Which questions a training asks: their order, what is remembered of them, and replacements that a rollout draws."""
