"""Check models, data, keys and devices before anything starts."""
