"""A taught student behind an OpenAI-compatible address.

`wire` reads and writes the format, `app` serves it, and `python -m trainers.service` (`scripts/serve.sh`) starts it.
"""
