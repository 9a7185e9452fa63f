"""HiDream's transformer, and the two parts that are not diffusers': routed experts and 8-bit matrices."""
