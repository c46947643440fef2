"""Engines that run language models: llama.cpp on processors, transformers as the reference, vLLM by URL."""
