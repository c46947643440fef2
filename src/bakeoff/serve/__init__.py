"""Serving: releases of models on endpoints, and the engine that answers with the live one."""
