"""Ask a model behind an OpenAI-compatible chat API, within its limits and a spending cap."""
