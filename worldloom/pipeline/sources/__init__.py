"""Where videos come from: each source lists its items, one per video, and knows what it knows about them."""
