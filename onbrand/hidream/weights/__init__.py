"""Reads tensors from files, checks them, adds the LoRA, and loads them into networks."""
