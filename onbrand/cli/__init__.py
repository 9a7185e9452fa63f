"""The command line. `onbrand NAME` is in `NAME.py`, with its options; `onbrand pack NAME` is in `pack/NAME.py`.

Every file here is imported for `onbrand --help`. So a command imports slow libraries inside its function: that keeps
the help quick, and lets the API start on a machine without the model's libraries.
"""
