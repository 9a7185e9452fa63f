"""What stands in for the cloud on one machine: the supervisor, an embedded PostgreSQL and a sign-in without Microsoft.

In production the settings refuse this sign-in and require the address of a database, so neither of them runs there.
`database_url` alone is used there: it gives a command the configured address. Only `cli` and `doctor` import this room.
"""
