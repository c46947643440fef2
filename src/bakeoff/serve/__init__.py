"""To be written: serve."""
