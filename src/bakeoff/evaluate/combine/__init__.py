"""Blends, cascades and routes of candidates, and whether they enter the decision."""
