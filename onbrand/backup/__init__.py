"""Everything that Onbrand keeps in one file, and back from it: rows, pictures and packs. `write` and `restore`."""
