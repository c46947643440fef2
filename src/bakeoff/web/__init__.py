"""To be written: web."""
