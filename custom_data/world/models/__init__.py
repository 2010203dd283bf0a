"""Make the world's tokenizer and models, prepare its student, and measure it."""
