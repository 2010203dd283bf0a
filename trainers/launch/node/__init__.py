"""See that a machine has what servers and trainers on GPUs need of it: driver, compiler, headers."""
