"""Models made of models: blends, cascades, calibrated and prepared ones."""
