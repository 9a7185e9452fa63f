"""The HTTP service: routes, who may call them and how errors are answered."""
