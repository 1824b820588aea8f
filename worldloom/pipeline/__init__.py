"""Jobs: sources, the four passes, the engine that runs them, the ledger that remembers them, the scorecard that judges them."""
