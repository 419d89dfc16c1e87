"""Tables by name, scores for rliable, and the notebook, on the published runs."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from harness.errors import UserError
from results.exports import rliable_scores, table, to_csv, to_latex
from results.frame.frames import load
from results.publishing.published_runs import PUBLISHED

NOTEBOOK = Path(__file__).parents[2] / "examples" / "questions.ipynb"


@pytest.fixture(scope="module")
def published():
    return load(PUBLISHED)


def test_scores_for_rliable_by_hand():
    rows = [
        (arm, task, seed, "done", 100 * place + 10 * number + seed)
        for place, arm in enumerate(("cql", "monte_carlo"))
        for number, task in enumerate(("a", "b"))
        for seed in range(3)
    ]
    rows += [("cql", "c", 0, "done", 1.0), ("cql", "a", 3, "done", 1.0), ("cql", "b", 3, "running", 1.0)]
    frame = pd.DataFrame(rows, columns=["arm", "task", "seed", "state", "final_score"]).assign(data_seed=0)
    scores = rliable_scores(frame)
    assert list(scores) == ["cql", "monte_carlo"]
    np.testing.assert_array_equal(scores["cql"], [[0, 10], [1, 11], [2, 12]])
    np.testing.assert_array_equal(scores["monte_carlo"], [[100, 110], [101, 111], [102, 112]])
    with pytest.raises(UserError, match="no task and pair of seeds is common to all arms"):
        rliable_scores(frame[(frame["arm"] == "cql") != (frame["task"] == "a")])


def test_rows_for_rliable_are_runs_or_data_seeds_by_hand():
    """Three data seeds with two seeds each; arm b lacks seed 1 of data seed 2, which leaves one run of that."""
    rows = [
        (arm, "task", data_seed, seed, "done", place + 10.0 * data_seed + 4.0 * seed)
        for place, arm in enumerate(("a", "b"))
        for data_seed in (2, 0, 1)
        for seed in (0, 1)
        if (arm, data_seed, seed) != ("b", 2, 1)
    ]
    frame = pd.DataFrame(rows, columns=["arm", "task", "data_seed", "seed", "state", "final_score"])
    scores = rliable_scores(frame)
    np.testing.assert_array_equal(scores["a"], [[0], [4], [10], [14], [20]])
    np.testing.assert_array_equal(scores["b"], [[1], [5], [11], [15], [21]])
    means = rliable_scores(frame, rows="data seeds")
    np.testing.assert_array_equal(means["a"], [[2], [12], [20]])
    np.testing.assert_array_equal(means["b"], [[3], [13], [21]])
    with pytest.raises(UserError, match="rows = 'seeds': unknown rows; choose one of runs, data seeds"):
        rliable_scores(frame, rows="seeds")


def test_tables_by_name(published):
    assert r"\toprule" in to_latex(published, "scores")
    assert to_csv(published, "scores") == table(published, "scores").numbers.to_csv(index=False)
    with pytest.raises(UserError, match="table 'score': unknown table; choose one of scores, differences"):
        to_latex(published, "score")


def test_the_notebook_runs_and_shows_what_it_computes():
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.outputs for cell in code[1:])
    texts = [[output.get("text") for output in cell.outputs] for cell in code]
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(NOTEBOOK.parent)}}).execute()
    again = [[output.get("text") for output in cell.outputs] for cell in notebook.cells if cell.cell_type == "code"]
    assert again == texts, "execute it again: jupyter execute --inplace examples/questions.ipynb"
