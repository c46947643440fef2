"""What else is worth knowing of a candidate: weak slices, robustness, calibration, memorisation, safety."""
