"""Models of other programs, brought into this package."""
