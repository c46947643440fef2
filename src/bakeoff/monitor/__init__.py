"""To be written: monitor."""
