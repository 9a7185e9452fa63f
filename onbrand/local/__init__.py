"""What stands in for the cloud on one machine. Nothing here runs in production."""
