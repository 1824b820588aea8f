"""The video DiT, its memories and codecs (the next room to be furnished: see docs/roadmap.md)."""
