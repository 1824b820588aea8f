"""The places worlds are built at: one file per place."""
