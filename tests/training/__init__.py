"""Parts that both trainings add to transformers' trainer."""
