"""What people see of every program alike: lines of a log, and tables as wide as the terminal."""
