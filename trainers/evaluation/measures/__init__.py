"""Compute the measures of an evaluation from its lessons, each by its definition in the glossary."""
