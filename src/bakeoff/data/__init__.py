"""Datasets: where rows come from, what their columns mean, their content hash and their splits."""
