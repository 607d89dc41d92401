"""Depth Anything V2: build it, load it, convert it, and predict with it."""
