"""Check a configuration without torch: what must agree, and what must be there."""
