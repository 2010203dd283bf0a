"""The pure parts of a lesson: how a teacher's reply is read, and what becomes of a lesson when a stage is over."""
