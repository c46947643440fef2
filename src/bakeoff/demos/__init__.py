"""To be written: demos."""
