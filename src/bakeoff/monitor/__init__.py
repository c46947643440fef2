"""Monitoring: signals from the logs of an endpoint, and the triggers that start the loop again."""
