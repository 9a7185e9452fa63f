"""Denoising: turns seeds into latents."""
