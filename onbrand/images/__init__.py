"""The finished images: the PNG file, and its place in the object store."""
