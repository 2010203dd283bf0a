"""Students of the world with a calculator: they choose a plan, and leave the sum to a tool.

The students are those of a world that is there already, taught for some hundred steps more to call a tool where they
calculated by heart, and to repeat its result. What they believe, and how they answer a teaching, stays what it was, so
that a world's teachers are teachers of these students, too, and its questions are theirs.

- `tool`: the calculator, which runs in this process or in the sandbox.
- `words`: calls and results as the students' tokenizer and chat template write them.
- `student`: their training, on `resumption` too: conversations in which a teacher speaks once more.
"""
