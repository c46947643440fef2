"""Texts for language models: messages, chunks, packed sequences, token counts."""
