"""Things that stand in places: furniture, plants, houses, cars; each a function that returns patches."""
