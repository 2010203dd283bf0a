"""Students that act: a model in a loop with tools, and what an agent of the user's own gives back."""
