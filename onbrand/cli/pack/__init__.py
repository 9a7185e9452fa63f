"""`onbrand pack NAME`: brand packs. Each command is in `NAME.py`, with its options; `rollback` is in `promote.py`."""
