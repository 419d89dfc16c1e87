"""Tests of results/tables/."""
