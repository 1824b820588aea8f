"""The trainer: recipes, windows and their order, methods, the loop, its callbacks and its checkpoints."""
