"""To be written: families."""
