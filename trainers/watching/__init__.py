"""A page that shows a run from its files while it goes: curves, alarms and the last lessons."""
