"""A dataset in the files that other programs read: one format per file here; `export.py` first."""
