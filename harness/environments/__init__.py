"""Environments as training sees them, and the controllers that collect their data."""
