"""`python -m onbrand` is the command."""

from onbrand.cli import main

main()
