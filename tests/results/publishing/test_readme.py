"""README's results are generated from the published runs, between two markers."""

import re

import pytest

from ablations.grids import runs_of
from harness.errors import UserError
from results.frame import gather
from results.frame.frames import export, load
from results.publishing.findings import Evidence
from results.publishing.published_runs import PUBLISHED
from results.publishing.readme import BEGIN, END, NOTHING, README, drawings, section, with_section, write
from tests.support.figure_layout import faults
from tests.support.run_folder_factory import write_done

# The files of the figures in a text.
PICTURE = re.compile(r"!\[[^]]*\]\(([^)]*)\)")

TASK = "pointmaze-medium-wide"

FRAME = f"# Title\n\n{BEGIN}\nold\n{END}\n\nThe rest.\n"


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported")
    write_done(folder / "runs", [run for run in runs_of("study") if run.task.name == TASK and run.seed < 3])
    export(gather(folder / "runs"), folder)
    return folder


def test_readme_is_up_to_date():
    text = README.read_text()
    assert with_section(text) == text, "update it with: make report"
    pictures = PICTURE.findall(text[text.index(BEGIN) : text.index(END)])
    assert pictures
    assert all((PUBLISHED.parents[1] / picture).is_file() for picture in pictures)


def test_scores_and_verdicts_are_written_between_the_markers(exported, tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text(FRAME)
    write(readme, exported)
    text = readme.read_text()
    assert text.startswith(f"# Title\n\n{BEGIN}\n\nSuccess rate at the end of offline training")
    assert "57 runs, 3 seeds per arm" in text
    assert text.endswith(f"{END}\n\nThe rest.\n")
    assert "old" not in text
    ends = load(exported).runs.query("arm == 'cql'")[["offline_score", "final_score"]].mean()
    first = f"{ends['offline_score']:.2f} \N{RIGHTWARDS ARROW} {ends['final_score']:.2f}"
    assert [line for line in text.splitlines() if line.startswith(f"| {TASK} | {first} | ")]
    assert "| Task | CQL | Cal-QL | learned floor | inflated by 0.25 | inflated by 1 |" in text
    assert "1. **" not in text, "findings over tasks need more than one task"
    assert not PICTURE.findall(text), "figures over tasks need more than one task"
    write(readme, exported)
    assert readme.read_text() == text


def test_changes_and_figures_of_several_tasks(tmp_path):
    arms = ("cql", "monte_carlo", "inflated_0.25", "inflated_1")
    tasks = (TASK, "winding-road")
    write_done(
        tmp_path / "runs",
        [run for run in runs_of("study") if run.task.name in tasks and run.arm in arms and run.seed < 3],
    )
    # Runs of other grids are left to the report.
    write_done(tmp_path / "runs", [run for run in runs_of("floors") if run.seed == 0])
    export(gather(tmp_path / "runs"), tmp_path)
    readme = tmp_path / "README.md"
    readme.write_text(FRAME)
    write(readme, tmp_path)
    text = readme.read_text()
    assert "24 runs, 3 seeds per arm" in text
    assert PICTURE.findall(text) == ["results/published/teaser.png"]
    for name in ("teaser.png", "effects.png", "dose_response.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
    (teaser, *_) = drawings(Evidence(load(tmp_path, {run.id for run in runs_of("study")})), None)
    assert faults(teaser.figure) == []


def test_three_findings_in_numbers_of_the_study():
    text = section()
    assert [line[:3] for line in text.splitlines() if line[:3] in ("1. ", "2. ", "3. ")] == ["1. ", "2. ", "3. "]
    assert max(len(line) for line in text.splitlines() if line.startswith("|")) < 130, "wider than a page"


def test_without_runs_the_section_is_a_single_sentence(tmp_path):
    assert with_section(FRAME, tmp_path) == f"# Title\n\n{BEGIN}\n\n{NOTHING}\n\n{END}\n\nThe rest.\n"


@pytest.mark.parametrize("text", ["", BEGIN, f"{END}\n{BEGIN}", f"{BEGIN}\n{BEGIN}\n{END}"])
def test_missing_markers_are_reported_in_one_line(text, tmp_path):
    with pytest.raises(UserError, match=r"README\.md: must contain"):
        with_section(text, tmp_path)


def test_a_missing_file_is_named(exported, tmp_path):
    (tmp_path / "runs.parquet").write_bytes((exported / "runs.parquet").read_bytes())
    with pytest.raises(UserError, match=r"evaluations\.parquet: not found"):
        section(tmp_path)
