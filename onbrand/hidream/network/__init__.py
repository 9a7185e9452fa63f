"""HiDream's transformer, with our own routed experts and 8-bit matrices in place of diffusers'."""
