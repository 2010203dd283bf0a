"""Compose one flat configuration from recipe, groups and overrides, and show it."""
