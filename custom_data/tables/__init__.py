"""Keep checked rows as memory-mapped tables, without those that no context holds."""
