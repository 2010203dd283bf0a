"""Judge code by running it against tests, inside a sandbox."""
