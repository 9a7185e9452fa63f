"""The finished pictures: the PNG file, and where it is stored."""
