"""To be written: compute."""
