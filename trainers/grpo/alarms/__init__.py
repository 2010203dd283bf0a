"""Signs in a run's own figures that it goes wrong, or is not worth what it costs: told once and in words."""
