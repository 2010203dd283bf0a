"""Rules for what GRPO is measured against: distilling from a mentor, and searching for prompts."""
