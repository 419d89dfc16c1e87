"""The dictionary of columns, the column of grids, and frames of exported numbers."""

import pandas as pd
import pytest

import results
from ablations.grids import runs_of
from harness.errors import UserError
from results.frame import gather
from results.frame.columns import PAGE, columns, page
from results.frame.frames import SETTINGS, export
from tests.support.run_folder_factory import write_done


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    write_done(folder, runs_of("smoke"))
    return folder


def test_every_column_of_both_frames_is_explained(root):
    explained = columns().set_index("column")
    assert explained.index.is_unique
    assert (explained["meaning"] != "").all()
    assert not explained["meaning"].str.contains("[{}]").any(), "a placeholder"
    for name, frame in (("runs", results.runs(root)), ("evaluations", results.evaluations(root))):
        metrics = [column for column in frame.columns if not column.startswith(SETTINGS) and ".name" not in column]
        assert set(metrics) <= set(explained.index), name
        assert set(explained.loc[metrics, "frame"]) <= {name, "both"}
    assert explained.loc["final_score", "better"] == "higher"
    assert explained.loc["q_data", "unit"] == "mapped return"


def test_runs_name_their_grid(root):
    assert set(results.runs(root)["grid"]) == {"smoke"}
    assert "grid" not in results.runs(root, grids=False)


def test_exported_numbers_are_read_like_run_folders(root, tmp_path):
    export(gather(root), tmp_path)
    pd.testing.assert_frame_equal(results.evaluations(tmp_path), results.evaluations(root))
    pd.testing.assert_frame_equal(results.runs(tmp_path), results.runs(root))
    with pytest.raises(UserError, match="cannot be read together with other folders"):
        results.runs([tmp_path, root])


def test_the_page_of_metrics_is_up_to_date():
    assert PAGE.read_text() == page(), "write it with: python -m results.frame.columns"
