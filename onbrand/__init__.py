"""Onbrand: a prompt becomes four illustrations in the studio's own style."""

__version__ = "0.4.0"
