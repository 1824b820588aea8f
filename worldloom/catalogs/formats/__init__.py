"""Camera, action and track files of other projects: each format reads and writes in one file, converted here."""
