"""`python -m tests.mutation`: change one place of a core module at a time, and see whether a fast test notices."""
