"""Tests of the kernels, `algorithms/kernels/`."""
