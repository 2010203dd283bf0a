"""A run on several hosts: who they are, what each starts, where they meet, and how they end together."""
