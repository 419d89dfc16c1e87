"""Checkpoints with known content."""

import numpy as np

from harness.folders.checkpoint import Checkpoint, Position


def at(step, size=40):
    """A checkpoint whose content follows from its step."""
    values = np.random.default_rng(step).standard_normal(size)
    arrays = {"learner/weight": values.astype(np.float32), "learner/step": np.array(step)}
    return Checkpoint(Position(step, 0, True), arrays, {"metrics": {"bytes": step, "sha256": "ab"}})


def assert_equal(loaded, expected):
    assert loaded.position == expected.position
    assert loaded.numbers == expected.numbers
    assert loaded.arrays.keys() == expected.arrays.keys()
    for name, array in expected.arrays.items():
        assert loaded.arrays[name].dtype == array.dtype
        assert loaded.arrays[name].shape == array.shape
        assert loaded.arrays[name].tobytes() == array.tobytes()
