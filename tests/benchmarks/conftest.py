"""What is measured runs as in a worker: one thread, freed memory kept."""

from harness.worker import keep_freed_memory

keep_freed_memory()
