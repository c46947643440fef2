"""Endpoints that services answer: which one is asked, how often, at what price, and what callers may use."""
