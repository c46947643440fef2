"""Rules that need no model, as a yardstick for those that do."""
