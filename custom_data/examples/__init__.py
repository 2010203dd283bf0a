"""Turn SFT examples into token ids, by the very prompts that GRPO uses."""
