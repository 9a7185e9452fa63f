"""Turns latents into pictures and previews."""
