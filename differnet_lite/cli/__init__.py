"""The command line, `differnet-lite` or `python -m differnet_lite`."""
