"""Benchmarks run as a worker does: with one thread, keeping freed memory."""

import pytest

from harness.launching.worker import keep_freed_memory
from tests.benchmarks.measuring import Meter

keep_freed_memory()


@pytest.fixture
def meter(benchmark, capsys, request):
    return Meter(benchmark, capsys, float(request.config.getoption("benchmark_max_time")))
