"""The tasks: environments with their data, and the settings that work on them."""
