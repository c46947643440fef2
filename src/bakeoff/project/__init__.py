"""To be written: project."""
