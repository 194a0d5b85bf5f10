"""Figures: each function takes arrays and returns a Plotly figure; nothing is computed or saved here."""
