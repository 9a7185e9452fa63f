"""HiDream's transformer as diffusers computes it, with routed experts and 8-bit matrices of our own."""
