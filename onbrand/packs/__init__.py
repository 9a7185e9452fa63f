"""Brand packs: what one is, where packs are stored, and which one is live."""
