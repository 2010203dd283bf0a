"""Read words, keys and recipes as people write them on a command line."""
