"""Making bases and brand packs."""
