"""Serving over HTTP: each protocol reads its requests and writes its answers; the data plane in `serve` answers."""
