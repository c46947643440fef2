"""Nouns, protocols, errors, configuration and plug-ins; imports nothing of bakeoff outside itself."""
