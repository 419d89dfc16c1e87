"""A search that is told errors alone finds the dose that is known to be the best."""

import numpy as np
import pytest

from tests.ablations.exact.dose import best_dose, error_of, tuned_dose


def test_the_best_dose_is_the_best():
    doses = np.linspace(-1.0, 1.0, 2001)
    errors = [error_of(dose) for dose in doses]
    assert doses[int(np.argmin(errors))] == pytest.approx(best_dose(), abs=1e-3)
    # The spread that no dose takes away.
    assert min(errors) > 0.05


def test_nine_of_ten_searches_find_it():
    found = [tuned_dose(seed) for seed in range(10)]
    assert sum(abs(dose - best_dose()) < 0.1 * best_dose() for dose in found) >= 9
    assert len(set(found)) == 10
