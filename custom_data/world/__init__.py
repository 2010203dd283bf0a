"""Make the embedded world: tokenizer, models and data for trying ATLAS on a machine with no GPU and no model hub.

Ten students solve short stories: one model under ten system prompts, which no teacher sees. Each story needs one of
three plans, and every student has a belief of its own about each of nine kinds of story. Over the six students of the
training all beliefs are equally frequent for every kind, so that only a probe tells what a student believes; four
others are met in evaluations alone. A student changes its plan only where the teaching names that very plan as the
mistake and spells another one out, which takes some forty tokens; any objection harms a student that is right; "good
plan" leaves it as it is in three tokens; a lecture that objects to nothing, and a stated answer, move nobody. So a
teacher must learn what each kind of story needs, compare it with the student's approach, and speak to that.

- `texts`: what can be asked and said, the students and their rule, and the author of the teacher's warm-up examples.
- `models`: from these words to a trained and measured model.
- `build`: the directory that holds it all.
"""
