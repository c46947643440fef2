"""Scores models on test rows, times and prices them, and decides between them with honest statistics."""
