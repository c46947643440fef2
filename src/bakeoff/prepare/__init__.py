"""To be written: prepare."""
