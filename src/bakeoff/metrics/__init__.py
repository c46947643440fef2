"""Pure measures of predictions, tables and timings; shared by evaluation and monitoring (numpy only)."""
