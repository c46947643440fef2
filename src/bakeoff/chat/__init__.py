"""Talking to language models over the OpenAI-compatible API: prompts, a client, its cache, tokens and prices."""
