"""Read datasets as questions and examples.

`sources` opens files and hub datasets, `rows` reads one row, `tables` keeps all of them on disk, `examples` encodes
those of SFT, and `world` is the embedded world.
"""
