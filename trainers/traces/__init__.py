"""Lessons of a teacher in use, written down so that a next teacher can learn from them.

`trace` is what is written of a lesson, `redaction` what is taken out before, `files` how it reaches the disk, and
`recorder` joins them; `feedback` is what people say of lessons. Off unless somebody asks for it.
"""
