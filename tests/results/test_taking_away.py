"""Tables by name, scores for rliable, and the notebook, on the published runs."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from harness.errors import UserError
from results.frame.frames import load
from results.published_runs import PUBLISHED
from results.taking_away import rliable_scores, table, to_csv, to_latex

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
    frame = pd.DataFrame(rows, columns=["arm", "task", "seed", "state", "final_score"])
    scores = rliable_scores(frame)
    assert list(scores) == ["cql", "monte_carlo"]
    np.testing.assert_array_equal(scores["cql"], [[0, 10], [1, 11], [2, 12]])
    np.testing.assert_array_equal(scores["monte_carlo"], [[100, 110], [101, 111], [102, 112]])
    with pytest.raises(UserError, match="no task and seed is common to all arms"):
        rliable_scores(frame[(frame["arm"] == "cql") != (frame["task"] == "a")])


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
