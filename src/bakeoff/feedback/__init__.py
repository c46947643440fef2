"""To be written: feedback."""
