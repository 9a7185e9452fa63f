"""A job's whole life, with the SQL that decides it: submitted, waiting, drawn, kept, deleted."""
