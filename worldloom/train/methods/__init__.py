"""Methods: what is learned from which windows, and the loss."""
