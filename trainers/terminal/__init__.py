"""The looks that all programs share: lines of a log, and tables as wide as the terminal."""
