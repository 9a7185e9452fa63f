"""What Onbrand claims about speed, memory and size, runnable. `python -m benchmarks [NAME …]`; see README.md."""
