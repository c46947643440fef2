"""What to try, from small probes."""
