"""A job's whole life, with the SQL that decides it: submitted, queued, drawn, kept, deleted."""
