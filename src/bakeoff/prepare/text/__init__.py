"""Steps over texts."""
