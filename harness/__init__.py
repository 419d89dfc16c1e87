"""How runs are run: settings, data, phases, folders, the local pool and the command line."""
