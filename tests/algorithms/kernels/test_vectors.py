"""The register width does not change results."""

import subprocess
from pathlib import Path

import numpy as np
import pytest

from algorithms.kernels.build import FLAGS, SOURCES, compiler

PROGRAM = Path(__file__).with_name("vectors.cpp")

# In bytes: SSE and NEON, AVX2, AVX-512. The compiler emulates widths that the machine does not have.
WIDTHS = (16, 32, 64)


def output(folder, width):
    """Output of the program, compiled for a register width with the flags of the kernels."""
    built = folder / f"vectors-{width}"
    width_flag = f"-DFLOORBENCH_VECTOR_BYTES={width}"
    command = [compiler(), "-std=c++20", *FLAGS, "-Wno-psabi", width_flag, f"-I{SOURCES}", str(PROGRAM), "-o", built]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return subprocess.run([built], capture_output=True, text=True, check=True).stdout.splitlines()


pytestmark = pytest.mark.skipif(not compiler(), reason="no C++ compiler found")


def test_all_widths_give_the_same_bits(tmp_path):
    narrow, *others = (output(tmp_path, width) for width in WIDTHS)
    assert len(narrow) == 1 + 5 * 7
    assert not any("nan" in line or "inf" in line for line in narrow)
    assert_exponentials(narrow[0].split()[1:])
    for lines in others:
        for number, (line, other) in enumerate(zip(narrow, lines, strict=True)):
            assert line == other, f"line {number}: {line.split()[0]}"


def assert_exponentials(numbers):
    """Each is exp(-number / 16) rounded to float, or a neighbour of it."""
    exact = np.exp(-np.arange(len(numbers)) / 16).astype(np.float32)
    got = np.array([float.fromhex(number) for number in numbers], np.float32)
    assert (np.abs(exact.view(np.int32) - got.view(np.int32)) <= 1).all()
    assert exact[0] == 1
    assert exact[-1] == 0
