"""Ask a model that is loaded into this process, with vLLM's sampling rules."""
