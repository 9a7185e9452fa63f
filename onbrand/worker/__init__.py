"""The worker: a parent process that claims jobs and keeps their leases, and a child process that has the model."""
