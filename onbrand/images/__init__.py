"""The finished images: the PNG file, its rendition for tiles, and their places in the object store."""
