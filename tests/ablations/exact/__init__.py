"""Tests of the exact lab, `ablations/exact/`."""
