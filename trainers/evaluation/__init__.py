"""Evaluation of teachers: lessons over a dataset, what they measure, and tables, plots and a page of them.

`evaluate` holds the lessons, `files` keeps them, `measures` and `breakdowns` say what they show (with the intervals of
`statistics`), `summary` and `table` write it down, `comparison` sets several evaluations side by side.
"""
