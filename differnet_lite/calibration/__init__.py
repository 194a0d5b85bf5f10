"""From scores of normal images to decisions: who calibrates, thresholds and p-values."""
