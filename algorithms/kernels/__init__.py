"""Kernels that compute an update: one-pass kernels in C++, or torch; interchangeable up to rounding."""
