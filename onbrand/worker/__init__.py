"""The worker: a parent process that claims jobs and keeps their leases, and a child process that has the model."""

MAX_CONNECTIONS = 4  # to the database; here, because `onbrand doctor` counts them without the model's packages
