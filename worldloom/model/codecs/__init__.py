"""From video to latents and back: one embedded codec without weights, and Wan's."""
