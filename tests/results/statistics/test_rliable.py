"""Point values agree with rliable's own, installed by itself: it cannot be imported beside pandas 3."""

import json
import subprocess
import venv

import numpy as np
import pytest

from results.statistics.aggregates import iqm, optimality_gap, performance_profile, probability_of_improvement

THRESHOLDS = [0.0, 0.25, 0.5, 0.75, 1.0]
THEIRS = """
import json, sys
import numpy as np
from rliable import library, metrics
first, second, thresholds = (np.array(values) for values in json.load(sys.stdin))
profiles, _ = library.create_performance_profile({"first": first}, thresholds, reps=2)
print(json.dumps({
    "iqm": metrics.aggregate_iqm(first),
    "optimality_gap": metrics.aggregate_optimality_gap(first),
    "probability_of_improvement": metrics.probability_of_improvement(first, second),
    "performance_profile": list(profiles["first"]),
}))
"""


@pytest.fixture(scope="module")
def rliable(tmp_path_factory):
    """A Python with rliable."""
    folder = tmp_path_factory.mktemp("rliable")
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    command = [python, "-m", "pip", "-q", "install", "rliable==1.2.0", "pandas<3"]
    installed = subprocess.run(command, capture_output=True, text=True)
    if installed.returncode:
        pytest.skip(f"rliable cannot be installed here, so NOTHING WAS COMPARED: {installed.stderr.strip()[-300:]}")
    return python


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_point_values_are_those_of_rliable(rliable, seed):
    generator = np.random.default_rng(seed)
    # Rows are runs and columns tasks there; twentieths, so that there are ties.
    first, second = generator.integers(0, 25, size=(2, 5 + seed, 6)) / 20
    material = json.dumps([first.tolist(), second.tolist(), THRESHOLDS])
    theirs = json.loads(subprocess.run([rliable, "-c", THEIRS], input=material, capture_output=True, text=True,
                                       check=True).stdout)  # fmt: skip
    tasks, both = list(first.T), list(np.stack([first.T, second.T], axis=-1))
    ours = {
        "iqm": iqm(tasks),
        "optimality_gap": optimality_gap(tasks),
        "probability_of_improvement": probability_of_improvement(both),
        "performance_profile": performance_profile(tasks, THRESHOLDS),
    }
    assert set(theirs) == set(ours)
    for name, value in theirs.items():
        assert ours[name] == pytest.approx(value), name
