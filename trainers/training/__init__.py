"""Parts that both trainings add to transformers' trainer, so that no fault costs more than it must."""
