"""Steps over columns of tables that learn from training rows."""
