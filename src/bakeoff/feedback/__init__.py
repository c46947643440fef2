"""Feedback: labels, ratings and corrections for prediction ids, and their join with what was predicted."""
