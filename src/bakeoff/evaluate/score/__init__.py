"""Scores models on test rows: metrics with intervals, timings, prices."""
