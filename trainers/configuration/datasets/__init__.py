"""Know single datasets by name, and the column names that datasets use."""
