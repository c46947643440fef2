"""To be written: train."""
