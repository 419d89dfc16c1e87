"""What computes the critics: a one-pass kernel in C++, or torch; the same functions with the same meaning."""
