"""Event loop, task group and threads with rules of their own for what happens when something fails."""
