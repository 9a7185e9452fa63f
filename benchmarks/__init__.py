"""Benchmarks of the speed, memory and size that Onbrand claims. `python -m benchmarks [NAME …]`; see README.md."""
