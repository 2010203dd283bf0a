"""Signs in a run's own figures that it is not worth what it costs, told once and in words."""
