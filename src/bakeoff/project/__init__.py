"""The composition root and the Python SDK: the only place that wires families, stores and compute to the loop."""
