"""Jobs that are disturbed on purpose: what they work on, who is killed when, and what has to be equal afterwards."""
