"""Tensors from files into networks: streamed, checked, with the LoRA added."""
