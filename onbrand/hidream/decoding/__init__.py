"""Latents to pictures."""
