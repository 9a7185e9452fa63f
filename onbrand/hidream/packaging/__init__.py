"""Makes bases, brand packs and prepared weights."""
