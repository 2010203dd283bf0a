"""Override methods and use functions that TRL does not promise to keep; tests compare each with TRL's own."""
