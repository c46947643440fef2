"""Decides between scored candidates."""
