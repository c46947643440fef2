"""Refusals: what bakeoff does not do until it is safe."""
