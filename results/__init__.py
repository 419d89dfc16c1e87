"""What came out: run folders to one frame, estimates, tables, figures and a page."""
