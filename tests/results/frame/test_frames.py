"""Frames as files, and as originals to verify repetitions against."""

import pandas as pd
import pytest
from pyarrow import parquet

from ablations.grids import runs_of
from harness.data.dataset import ensure_dataset
from harness.errors import UserError
from harness.folders.provenance import processor
from harness.folders.run_folder import RunFolder
from harness.training.training import train_pack
from harness.watching.verification import check_data, verify
from results.frame import gather
from results.frame.frames import NAMES, Frames, export, load, originals
from results.publishing.published_runs import PUBLISHED
from results.reports.runs import write_report
from tests.support.run_folder_factory import fail, write_done


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    on_road = [run for run in runs_of("truth") if run.arm in ("cql", "exact") and run.seed < 2]
    write_done(root, [*runs_of("smoke")[:3], *on_road])
    fail(root, runs_of("smoke")[3], "diverged")
    return gather(root)


def test_the_same_frames_come_back(frames, tmp_path):
    files = export(frames, tmp_path)
    assert [file.name for file in files] == ["runs.parquet", "evaluations.parquet", "provenance.parquet"]
    again = load(tmp_path)
    for name in NAMES:
        pd.testing.assert_frame_equal(getattr(again, name), getattr(frames, name), check_dtype=False)
    assert again.runs.loc[0, "algorithm.policy_hidden"] == (32, 32)


def test_a_report_from_exported_frames_has_the_same_bytes(frames, tmp_path):
    export(frames, tmp_path / "frames")
    reports = [write_report(frames, tmp_path / "first"), write_report(load(tmp_path / "frames"), tmp_path / "second")]
    for first, second in zip(*reports, strict=True):
        assert first.relative_to(tmp_path / "first") == second.relative_to(tmp_path / "second")
        assert first.read_bytes() == second.read_bytes(), first.name


def test_exporting_twice_gives_the_same_bytes(frames, tmp_path):
    for first, second in zip(export(frames, tmp_path / "a"), export(load(tmp_path / "a"), tmp_path / "b"), strict=True):
        assert first.read_bytes() == second.read_bytes(), first.name


def test_an_invalid_frame_gives_one_line(frames, tmp_path):
    with pytest.raises(UserError, match=r"runs.parquet: not found; write it with: floorbench report --export"):
        load(tmp_path)
    export(frames, tmp_path)
    data = (tmp_path / "evaluations.parquet").read_bytes()
    for damaged in (b"", b"PAR1", data[:-100], b"not parquet" + data):
        (tmp_path / "evaluations.parquet").write_bytes(damaged)
        with pytest.raises(UserError, match=r"evaluations.parquet: is damaged") as error:
            load(tmp_path)
        assert "\n" not in str(error.value)
    other = pd.DataFrame({"run": ["a"]})
    other.to_parquet(tmp_path / "evaluations.parquet")
    with pytest.raises(UserError, match="lacks the columns task, arm, seed, step, phase; export"):
        load(tmp_path)
    other.attrs = {"format": 0}
    other.to_parquet(tmp_path / "evaluations.parquet")
    with pytest.raises(UserError, match="was not written in format"):
        load(tmp_path)


def test_frames_rewritten_by_another_program_are_the_same(frames, tmp_path):
    """Other programs keep neither pandas' metadata nor its compression."""
    for path in export(frames, tmp_path):
        parquet.write_table(parquet.read_table(path).replace_schema_metadata(None), path, compression="snappy")
    loaded = load(tmp_path)
    export(loaded, tmp_path / "again")
    export(frames, tmp_path / "first")
    for name in ("runs", "evaluations", "provenance"):
        again, first = (tmp_path / place / f"{name}.parquet" for place in ("again", "first"))
        assert again.read_bytes() == first.read_bytes(), name


def test_an_unwritable_folder_gives_one_line(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match=r"folder of frames .* cannot be written"):
        export(Frames(pd.DataFrame(), pd.DataFrame(), pd.DataFrame()), tmp_path / "file")


SMOKE = runs_of("smoke")


def test_exported_runs_equal_their_folders(tmp_path):
    folders = write_done(tmp_path / "runs", SMOKE[:2])
    fail(tmp_path / "runs", SMOKE[2], "diverged")
    export(gather(tmp_path / "runs"), tmp_path / "frames")
    exported = originals(load(tmp_path / "frames"), SMOKE, tmp_path / "frames")
    assert set(exported) == {folder.id for folder in folders}
    for folder in folders:
        original, provenance = exported[folder.id], folder.provenance()
        assert original.run == folder.run()
        known = [{name: value for name, value in row.items() if value is not None} for row in folder.metrics()]
        assert original.rows == known
        assert original.dataset == provenance["dataset"]
        (record,) = original.records
        assert record["packages"] == provenance["packages"]
        assert record["machine"]["processor"] == provenance["machine"]["processor"]
        assert (original.metrics, original.parameters_hash) == (None, None)


def test_a_published_run_trained_again_has_its_numbers(tmp_path, monkeypatch):
    """The smallest of the study: a change of the code that moves a bit of it makes what is published out of date.

    Equal to the bit on the processors on which that was measured, elsewhere perhaps within tolerances.
    """
    (run,) = (run for run in runs_of("study") if (run.task.name, run.arm, run.seed) == ("winding-road", "learned", 0))
    original = originals(load(PUBLISHED, {run.id}), [run], PUBLISHED)[run.id]
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    ensure_dataset(run.task)
    check_data(original)
    folder = RunFolder.of(tmp_path / "runs", run)
    folder.create(run)
    train_pack([folder])
    verified = verify(original, folder)
    assert verified.difference is None, f"{verified.comparison.kind}: {verified.difference}"
    if processor().startswith("AMD EPYC"):
        assert verified.comparison.kind in ("numbers", "training"), verified.comparison


def test_frames_exported_without_data_seeds_get_them_from_the_settings(frames, tmp_path):
    old = Frames(*(frame.drop(columns="data_seed", errors="ignore") for frame in vars(frames).values()))
    export(old, tmp_path)
    again = load(tmp_path)
    for name in NAMES:
        pd.testing.assert_frame_equal(getattr(again, name), getattr(frames, name), check_dtype=False, check_like=True)
