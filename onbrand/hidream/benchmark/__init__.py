"""Measures speed and memory of a model on this machine, for `onbrand bench`."""
