"""The commands about data, reports and searches."""
