"""Frames in, annotations out: pose, actions, tracks, events, depth and revisits, and the measures that score them."""
