"""A real browser against the real system, started by the command that README names."""
