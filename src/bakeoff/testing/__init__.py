"""To be written: testing."""
