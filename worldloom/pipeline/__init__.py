"""Jobs: sources, the four passes, the engine that runs them, the ledger that remembers, the scorecard that judges."""
