"""Fitting a candidate: its parameters checked (`params`), then a model folder made of rows (`worker`)."""
