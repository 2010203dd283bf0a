"""The settings of a run, typed: a class per component, a section of it per experiment, and every key's facts.

`experiments` holds the whole of a run, `key` is how a key is declared, `keys` lists them all, `checking` tells what is
wrong with a value.
"""
