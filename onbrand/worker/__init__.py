"""The worker: a parent that holds jobs and their leases, and a child process that holds the model."""
