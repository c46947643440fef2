"""Personal data in texts: found by kind, redacted or replaced."""
