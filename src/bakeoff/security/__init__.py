"""To be written: security."""
