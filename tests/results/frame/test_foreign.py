"""Runs of others under our definitions, and their files."""

import math
import re
from dataclasses import replace
from itertools import product

import pandas as pd
import pytest

from ablations.grids import runs_of
from harness.errors import UserError
from results.frame import gather
from results.frame.comparison import remarks
from results.frame.foreign import Meaning, foreign_frame, store, summaries, unit_of
from results.frame.foreign_formats import Parsed, Row
from results.frame.frames import export, load, load_foreign
from tests.support.run_folder_factory import write_done

SCORE = "eval/d4rl_normalized_score"
MEANING = Meaning(100, tasks={"": "maze"}, arms={"": "IQL"})


def parsed(*rows, metric=SCORE):
    """Rows are (run, step, value)."""
    return Parsed(metric, [Row(*row) for row in rows], "0" * 64)


def frame_of(*rows, metric=SCORE, meaning=MEANING, source="corl", **changes):
    return foreign_frame(parsed(*rows, metric=metric), source, "file.csv", replace(meaning, **changes))


def test_scores_and_steps_are_ours():
    frame = frame_of(("a", 50, 20.0), ("a", 100, 40.0), ("b", 100, 60.0), ("a", 200, 80.0))
    columns = ["task", "arm", "seed", "step", "phase", "score"]
    assert frame[columns].to_numpy().tolist() == [
        ["maze", "IQL", 0, -50, "offline", 0.2], ["maze", "IQL", 0, 0, "offline", 0.4],
        ["maze", "IQL", 0, 100, "online", 0.8], ["maze", "IQL", 1, 0, "offline", 0.6],
    ]  # fmt: skip
    assert set(frame["metric"]) == {SCORE}


def test_units():
    assert [unit_of(name) for name in (SCORE, "success_pct", "score (%)", "success_share", "eval/success_rate", "x")] \
        == ["percent", "percent", "percent", "share", None, None]  # fmt: skip
    assert frame_of(("a", 0, 0.5), metric="eval/success_rate", unit="share")["score"].tolist() == [0.5]
    assert frame_of(("a", 0, 50.0), metric="eval/success_rate", unit="percent")["score"].tolist() == [0.5]
    # Normalised scores may exceed an expert's.
    assert frame_of(("a", 0, 110.0))["score"].tolist() == [1.1]
    returns = frame_of(("a", 0, 20.0), metric="environment", references=(10.0, 50.0))
    assert returns["score"].tolist() == [0.25]


def test_names_of_runs_say_task_arm_and_seed():
    names = re.compile(r"^(?P<arm>.+)-(?P<task>umaze|large)-v2-s(?P<seed>\d+)$")
    frame = frame_of(
        ("Cal-QL-umaze-v2-s7", 100, 50.0), meaning=Meaning(100, tasks={"umaze": "antmaze-umaze"}), names=names
    )
    assert frame.loc[0, ["task", "arm", "seed"]].tolist() == ["antmaze-umaze", "Cal-QL", 7]


@pytest.mark.parametrize(
    ("rows", "changes", "message"),
    [
        ([("a", 0, 1.0)], {"metric": "eval/regret"}, "metric eval/regret: its definition is ambiguous"),
        ([("a", 0, 1.0)], {"metric": "train/Regret"}, "metric train/Regret: its definition is ambiguous"),
        ([("a", 0, 1.0)], {"metric": "eval/success_rate"}, "its name does not say its unit; add --unit share"),
        ([("a", 0, 1.0)], {"unit": "share"}, "--unit share: but the name of metric"),
        ([("a", 0, 1.0)], {"metric": "x", "unit": "points"}, "--unit points: unknown unit"),
        ([("a", 0, 1.5)], {"metric": "success", "unit": "share"}, "1.5 cannot be a share; use --unit percent"),
        ([("a", 0, 94.0)], {"metric": "score", "unit": "share"}, "94 cannot be a share; use --unit percent"),
        ([("a", 0, 101.0)], {"metric": "success", "unit": "percent"}, "101 cannot be per cent"),
        ([("a", 0, 1.0)], {"metric": "x", "unit": "share", "references": (0.0, 1.0)}, "exclude each other"),
        ([("a", 0, 1.0)], {"tasks": {}}, "run a: the file does not say its task; give it with --task"),
        ([("a", 0, 1.0)], {"arms": {}}, "run a: the file does not say its arm; give it with --arm"),
        ([("a", 0, 1.0)], {"names": re.compile("(?P<seed>[0-9]+)")}, "--names (?P<seed>[0-9]+): matches no part"),
        ([("a1", 0, 1.0), ("b1", 0, 1.0)], {"names": re.compile("(?P<seed>[0-9]+)")}, "runs a1 and b1: are both maze"),
        ([("ax", 0, 1.0)], {"names": re.compile("(?P<seed>x)")}, "finds the seed 'x' in the run name"),
        ([("s" + "9" * 20, 0, 1.0)], {"names": re.compile("(?P<seed>[0-9]+)")}, "finds the seed '9999999"),
        ([("a", 0, 1.0)], {"tasks": {"umaze": "maze"}}, "--task umaze=maze: no run has the task umaze;"),
        ([("a", 7, 1.0), ("a", 7, 2.0)], {}, "run a: has two values at step 7"),
        ([("a", 0, 1.0)], {"source": "../corl"}, "--as '../corl': must be up to 40 letters"),
        ([("a", 0, 1.0)], {"source": "<b>"}, "--as '<b>': must be up to 40 letters"),
        ([("a", 0, 1.0)], {"source": "Floorbench"}, "--as Floorbench: is the source of our runs"),
    ],
)  # fmt: skip
def test_what_does_not_match_is_refused(rows, changes, message):
    with pytest.raises(UserError) as error:
        frame_of(*rows, **changes)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


ODD = (
    "../up", "a\\b", "<script>", "a&b", 'a"b', "a|b", "a\nb", "a\x00b", ".a", "=1+1", "@x", "$x$", "x" * 121,
    "\N{RIGHT-TO-LEFT OVERRIDE}x",
)  # fmt: skip


@pytest.mark.parametrize(("kind", "name"), [*product(("task", "arm", "run"), ODD), ("run", "")])
def test_odd_names_are_refused(kind, name):
    changes = {"tasks": {"": "maze"}, "arms": {"": "IQL"}}
    if kind != "run":
        changes[f"{kind}s"] = {"": name}
    with pytest.raises(UserError, match=f"file.csv: {kind} ") as error:
        frame_of((name if kind == "run" else "a", 0, 1.0), **changes)
    assert str(error.value).isprintable()


def test_summaries_by_hand():
    frame = frame_of(("a", 50, 20.0), ("a", 100, 40.0), ("a", 200, 80.0), ("a", 400, 60.0),
                     ("b", 90, 10.0), ("b", 200, 30.0), ("c", 100, 70.0))  # fmt: skip
    result = summaries(frame).set_index("seed")
    assert result["offline_score"].tolist()[::2] == [0.4, 0.7]
    assert math.isnan(result.loc[1, "offline_score"])
    assert result["final_score"].tolist()[:2] == [0.6, 0.3]
    assert math.isnan(result.loc[2, "final_score"])
    # Trapezoids from the switch: (0.4 + 0.8) / 2 over 100 steps and (0.8 + 0.6) / 2 over 200.
    assert result.loc[0, "regret_eval"] == pytest.approx(1 - (60 + 140) / 300)
    assert result.loc[1:2, "regret_eval"].isna().all()


def test_a_source_is_stored_once(tmp_path):
    frame = frame_of(("a", 100, 40.0))
    file = store(frame, tmp_path)
    assert file == tmp_path / "imported" / "corl.parquet"
    content = file.read_bytes()
    with pytest.raises(
        UserError, match=r"--as corl: exists already, of file.csv with the same content; choose another"
    ):
        store(frame, tmp_path)
    with pytest.raises(UserError, match=r"of file.csv with other content"):
        store(frame.assign(sha256="1" * 64), tmp_path)
    assert file.read_bytes() == content
    store(frame_of(("a", 100, 40.0), source="other"), tmp_path)
    assert load_foreign([tmp_path])["source"].tolist() == ["corl", "other"]
    (tmp_path / "second" / "imported").mkdir(parents=True)
    (tmp_path / "second" / "imported" / "corl.parquet").write_bytes(content)
    with pytest.raises(UserError, match="are sources of one name"):
        load_foreign([tmp_path, tmp_path / "second"])


def test_damaged_and_odd_files_are_refused(tmp_path):
    frame = frame_of(("a", 100, 40.0))
    file = store(frame, tmp_path)
    for damaged in (b"", b"PAR1", file.read_bytes()[:-50]):
        file.write_bytes(damaged)
        with pytest.raises(UserError, match=r"corl.parquet: is damaged .*; remove it and import again"):
            load_foreign([tmp_path])
    for changes in ({"arm": "<b>"}, {"file": "a&b"}, {"source": "../x"}, {"source": "other"}, {"step": "x"}):
        frame.assign(**changes).to_parquet(file)
        with pytest.raises(UserError, match=r"corl.parquet: "):
            load_foreign([tmp_path])


def test_frames_of_runs_carry_the_sources(tmp_path):
    write_done(tmp_path, runs_of("smoke")[:1])
    before = gather(tmp_path)
    assert before.foreign.empty
    store(frame_of(("a", 100, 40.0)), tmp_path)
    frames = gather(tmp_path)
    pd.testing.assert_frame_equal(frames.runs, before.runs)
    pd.testing.assert_frame_equal(frames.evaluations, before.evaluations)
    assert frames.foreign["score"].tolist() == [0.4]
    assert remarks(frames)[-1] == "runs of corl on maze are not shown: no finished run has that task"
    paths = export(frames, tmp_path / "frames")
    assert paths[-1].name == "foreign.parquet"
    pd.testing.assert_frame_equal(load(tmp_path / "frames").foreign, frames.foreign)
    export(before, tmp_path / "frames")
    assert load(tmp_path / "frames").foreign.empty
    # Sources can also be imported beside exported numbers.
    store(frame_of(("a", 100, 40.0), source="other"), tmp_path / "frames")
    assert load(tmp_path / "frames").foreign["source"].tolist() == ["other"]
    frames.foreign.assign(source="other").to_parquet(tmp_path / "frames" / "foreign.parquet")
    with pytest.raises(UserError, match="source other is imported and among the exported numbers"):
        load(tmp_path / "frames")
