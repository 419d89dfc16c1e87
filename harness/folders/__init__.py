"""Run folders: what lies in them, who owns them, what their runs have cost."""
