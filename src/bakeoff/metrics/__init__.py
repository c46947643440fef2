"""To be written: metrics."""
