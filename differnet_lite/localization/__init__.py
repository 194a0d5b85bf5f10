"""Where in the image a score comes from."""
