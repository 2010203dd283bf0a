"""Search for the words that a teacher, and its students, are best asked with: the same lessons and reward, no training.

`search` runs one, `lessons` holds and remembers lessons, `adapter` is what the optimiser (GEPA) calls, `proposals` what
the reflecting model is asked, `report` what is written in the end.
"""
