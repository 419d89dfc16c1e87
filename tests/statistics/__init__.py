"""Tests of results/statistics/."""
