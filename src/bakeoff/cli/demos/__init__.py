"""Whole projects on real data that show the loop from raw data to a served, monitored champion."""
