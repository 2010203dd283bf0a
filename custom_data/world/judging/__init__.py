"""A language model that judges solutions of the world, where students and teachers come from.

It is a small model of the world's own, taught to answer the project's prompts to judges: it repeats what the solution
answers and what the reference says, and gives a score. It stands in for a large model, and errs as one does: more often
where solutions are unlike what it has seen.

- `texts`: solutions to be judged, and what is said of them.
- `model`: its tokenizer, its training, and how often it is right.
"""
