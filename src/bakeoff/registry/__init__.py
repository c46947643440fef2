"""To be written: registry."""
