"""What a world model knows of the past: one life cycle, several designs behind it."""
