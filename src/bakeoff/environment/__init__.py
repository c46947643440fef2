"""What surrounds a run: Python, packages, machine, and the state of the project's own code."""
