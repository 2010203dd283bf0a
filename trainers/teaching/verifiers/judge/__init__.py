"""Verdicts by models, for what has no answer key.

`rubric` and `prompts` ask, `fence` keeps apart what is judged, `reading` reads scores, `panel` joins several judges,
`canary` tries to bribe them, `verifier` is what the protocol sees.
"""
