"""Evaluate teachers: lessons over a dataset, what they measure, and tables, plots and a page of them.

`evaluate` holds the lessons, `lesson_files` keeps them, `measures` says what they show, `reports` writes it down,
`comparison` sets several evaluations side by side.
"""
