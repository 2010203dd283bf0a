"""Declare the keys of the models of a run: who they are, how they are loaded, served and asked."""
