"""The lifecycle as one readable sequence, resumable at every step."""
