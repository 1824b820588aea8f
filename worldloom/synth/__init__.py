"""Worlds that render themselves together with their truth, and the reversal of clips in time."""
