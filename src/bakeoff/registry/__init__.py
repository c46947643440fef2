"""Registered versions: what was made, from what, and which one is the champion."""
