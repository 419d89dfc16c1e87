"""What the subcommands do; `harness.cli` says how they are called."""
