"""`onbrand review NAME`: blind reviews of brand packs. Each command is in `NAME.py`."""
