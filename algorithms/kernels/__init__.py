"""What computes an update: one-pass kernels in C++, or torch; the same functions with the same meaning."""
