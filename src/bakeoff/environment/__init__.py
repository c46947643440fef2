"""To be written: environment."""
