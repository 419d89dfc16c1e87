"""The files of a table."""

import pandas as pd

from ablations.grids import runs_of
from results.frame import runs
from results.tables import write
from results.tables.scores import scores
from tests.support.run_folder_factory import fail, write_done


def test_files_are_the_same_bytes_twice(tmp_path):
    write_done(tmp_path / "runs", runs_of("smoke")[:3])
    fail(tmp_path / "runs", runs_of("smoke")[3], "diverged")
    contents = []
    for name in ("a", "b"):
        folder = tmp_path / name
        folder.mkdir()
        paths = write(scores(runs([tmp_path / "runs"])), folder)
        assert [path.name for path in paths] == ["scores.csv", "scores.md", "scores.tex"]
        contents.append([path.read_bytes() for path in paths])
    assert contents[0] == contents[1]
    read = pd.read_csv(tmp_path / "a" / "scores.csv")
    assert set(read["metric"]) >= {"offline_score", "final_score", "regret_eval", "regret_train", "dip", "calibration"}
    assert "1 of 2" in (tmp_path / "a" / "scores.md").read_text()
