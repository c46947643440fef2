"""What a run found, declared once: evaluation makes it, the loop keeps it, report, command line and SDK read it."""
