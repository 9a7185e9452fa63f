"""Break it on purpose: one guard after the other is taken away, and a test must notice. `python -m tests.guards`."""
