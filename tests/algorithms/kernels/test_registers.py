"""The kernels' numbers do not tell how wide the registers were that they were computed in."""

import subprocess
from pathlib import Path

import pytest

from algorithms.kernels.build import FLAGS, SOURCES, compiler

PROGRAM = Path(__file__).with_name("registers.cpp")

# Bytes: SSE and NEON, AVX2, AVX-512. A width that the machine does not have is made up of what it has.
WIDTHS = (16, 32, 64)


def printed(folder, width):
    """What the program prints, built for registers of a width with the flags of the kernels."""
    built = folder / f"registers-{width}"
    width_flag = f"-DFLOORBENCH_VECTOR_BYTES={width}"
    command = [compiler(), "-std=c++20", *FLAGS, "-Wno-psabi", width_flag, f"-I{SOURCES}", str(PROGRAM), "-o", built]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return subprocess.run([built], capture_output=True, text=True, check=True).stdout.splitlines()


@pytest.mark.skipif(not compiler(), reason="no C++ compiler found")
def test_every_width_gives_the_same_bits(tmp_path):
    narrow, *others = (printed(tmp_path, width) for width in WIDTHS)
    assert len(narrow) == 3 * 7
    assert not any("nan" in line or "inf" in line for line in narrow)
    for lines in others:
        for number, (one, other) in enumerate(zip(narrow, lines, strict=True)):
            assert one == other, f"line {number}: {one.split()[0]}"
