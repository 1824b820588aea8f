"""The trainer: batches, methods, the loop and its checkpoints (the next room to be furnished: see docs/roadmap.md)."""
