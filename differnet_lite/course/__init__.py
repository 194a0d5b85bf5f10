"""What only the course needs: two-dimensional flows to take apart, and studies of scores and thresholds."""
