"""Reading what a teaching says about the answer, however it is written.

`spelling` undoes what only looks different, `numerals` reads numbers in other notations, `expressions` evaluates what
leaves the last step open, `choices` reads the options of a question. `blind_check` and `audit` look at what a teaching
does instead: a student that does not see the question is asked for the answer. `alarm` follows how often it has it.
"""
