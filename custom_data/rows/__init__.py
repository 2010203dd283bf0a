"""Read one row: its columns, conversation and answer, or the reason why it cannot be used."""
