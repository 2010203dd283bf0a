"""Checks of the judges that a configuration names."""
