"""Make what training and evaluation share out of a configuration: protocol, models and data."""
