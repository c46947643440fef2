"""To be written: evaluate."""
