"""Tests of results/frame/."""
