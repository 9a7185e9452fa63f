"""`onbrand dataset NAME`: a studio's own illustrations. Each command is in `NAME.py`, with its options."""
