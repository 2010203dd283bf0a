"""Start the processes of a run, watch them, and tell how they ended."""
