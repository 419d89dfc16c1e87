"""Tuning: searches for settings whose trials are ordinary runs."""
