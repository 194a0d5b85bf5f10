"""What only the course needs: two-dimensional flows, and studies of scores and thresholds."""
