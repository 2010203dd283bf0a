"""Make the embedded world: tokenizer, models and data for trying ATLAS on a machine with no GPU and no model hub.

A student solves short stories. Each needs one of five plans; in ten of eighteen cases the student believes in a wrong
one. It gives a belief up only when a teaching spells another plan out, which takes some forty tokens. A wrong plan
harms it, "good plan" leaves it as it is in three tokens, and a stated answer moves nothing. So a teacher must
find out what each kind of story needs, compare it with the student's approach, and say much only where that helps.

- `texts`: what can be asked and said, the student's character, and the author of the teacher's warm-up examples.
- `models`: from these words to a trained and measured student.
- `build`: the directory that holds it all.
"""
