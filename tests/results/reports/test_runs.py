"""The report about runs: linked pages, complete files, reproducible bytes."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import pandas as pd
import pytest

from ablations.claims import CLAIMS
from ablations.fine_tuning_claims import FINE_TUNING_CLAIMS
from ablations.grids import runs_of
from harness.errors import UserError
from results.figures.drawing import PRINT
from results.frame import gather
from results.frame.comparison import remarks
from results.reports.runs import PAGES, write_report
from tests.support.run_folder_factory import fail, lose, write_done

TASK = "pointmaze-medium"
FAILURE = "parameters not finite at update <812> & after"


class Tags(HTMLParser):
    """Collects the links, the ids and the tags left open."""

    VOID = ("meta", "link", "br", "img", "input", "hr")

    def __init__(self, text: str):
        super().__init__()
        self.links, self.ids, self.open = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.links += [values[name] for name in ("href", "src", "xlink:href") if name in values]
        self.ids += [values["id"]] if "id" in values else []
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A report about three seeds of the grid floors; of the last arm one run has failed and one is lost."""
    root = tmp_path_factory.mktemp("runs")
    runs = [run for run in runs_of("floors") if run.seed < 3]
    write_done(root, runs[:-2])
    lose(root, runs[-2])
    fail(root, runs[-1], FAILURE)
    out = root / "report"
    return runs, root, out, write_report(gather(root), out)


def test_all_files_are_written(report):
    _, _, out, files = report
    assert files[0] == out / "report.html"
    assert all(file.is_file() and file.stat().st_size > 0 for file in files)
    written = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert written == {str(file.relative_to(out)) for file in files}
    for name in ("scores", "differences", "scale_mismatch", "learned_floor"):
        assert {f"tables/{name}.{suffix}" for suffix in ("csv", "md", "tex")} <= written
    assert {*PAGES, f"task-{TASK}.html", "report.md"} <= written
    for name in ("learning_curves", "values_and_floors", "score_by_floor", "paired_differences", "bound_rate"):
        assert {f"figures/{name}_{TASK}.{suffix}" for suffix in ("svg", "csv", "txt")} <= written
    assert not any(name.endswith((".pdf", ".png")) for name in written), "formats for papers are on request"


@pytest.mark.parametrize("name", [*PAGES, f"task-{TASK}.html"])
def test_every_page_is_complete_and_all_its_links_are_files_or_places(report, name):
    out = report[2]
    text = (out / name).read_text()
    page = Tags(text)
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    for link in page.links:
        file, _, place = link.partition("#")
        assert not file or (out / file).is_file(), link
        assert not place or place in Tags((out / (file or name)).read_text()).ids, link
    assert "@import" not in text
    assert "<svg" not in text
    assert "prefers-color-scheme: dark" in text
    assert len(text) < 1_000_000


def test_every_figure_is_shown_once_on_its_page(report):
    out = report[2]
    written = {path.stem for path in (out / "figures").iterdir() if path.suffix == ".svg"}
    shown = re.findall(r'<img src="figures/([^"]+)\.svg"', (out / "figures.html").read_text())
    assert sorted(shown) == sorted(written)
    # The claims about fine-tuning need log-spaced evaluations, which these runs do not have.
    assert len(shown) > 3 + (len(CLAIMS) - len(FINE_TUNING_CLAIMS)) / 2


def test_every_claim_has_a_section_with_its_runs(report):
    runs, _, out, _ = report
    text = (out / "claims.html").read_text()
    for claim in CLAIMS:
        assert f'id="claim-{claim.id}"' in text
    section = text[text.index('id="claim-cal-ql-smaller-dip"') : text.index('id="claim-cal-ql-lower-regret"')]
    used = [run.id for run in runs if run.arm in ("cql", "monte_carlo")]
    assert all(f"<code>{run}</code>" in section for run in used)
    assert "6 runs used" in section
    assert "3 seeds; at least 6 are needed" in section.lower()
    assert "figures/claim_cal-ql-smaller-dip.svg" in section
    assert "too few seeds" in section
    unseen = text[text.index('id="claim-naive-truncation-binds"') :].partition("</details>")[0]
    assert "Not tested on pointmaze-medium" in unseen
    assert "no finished run of naive_truncation or exact" in unseen
    verdicts = pd.read_csv(out / "tables" / "verdicts.csv")
    assert set(verdicts["id"]) == {claim.id for claim in CLAIMS}


def test_the_markdown_report_has_the_same_content(report):
    _, _, out, _ = report
    text = (out / "report.md").read_text()
    pictures = re.findall(r"!\[[^]]*\]\(([^)]+)\)", text)
    assert len(pictures) == 3
    assert all((out / picture).is_file() for picture in pictures)
    assert "**2 of 15 runs are not done" in text
    assert (out / "tables" / "scores.md").read_text().splitlines()[2] in text
    assert "| Cal-QL's score dips less than CQL's after the switch. | n |" in text
    assert "\n\n\n" not in text


def test_every_run_is_listed_with_its_state_and_reason(report):
    runs, _, out, files = report
    assert all(run.id in (out / "runs.html").read_text() for run in runs)
    text = files[0].read_text()
    assert "2 of 15 runs are not done" in text
    assert "parameters not finite at update &lt;812&gt; &amp; after" in text
    assert "<812>" not in text
    assert "13 done, 1 lost, 1 failed" in text


def test_settings_that_determine_the_scale_are_shown(report):
    text = re.sub(' data-sort="[^"]*"', "", (report[2] / "runs.html").read_text())
    run = report[0][0]
    for setting, value in {
        "task.data.transitions": run.task.data.transitions,
        "task.data.action_noise": run.task.data.action_noise,
        "schedule.offline_steps": run.schedule.offline_steps,
        "algorithm.alpha": run.algorithm.alpha,
    }.items():
        assert f"<td>{setting}</td><td>{value:g}</td>" in text
    assert "<td>Cal-QL, inflated by 0.25</td><td>inflated_0.25</td><td>monte_carlo</td><td>0.25</td>" in text


def test_column_definitions_follow_the_table(report):
    text = (report[2] / f"task-{TASK}.html").read_text()
    for term in ("regret_eval", "regret_train", "Dip", "Recovery"):
        assert f"<strong>{term}</strong>" in text
    assert "<strong>Calibration of <i>Q</i>(<i>s</i>, \N{GREEK SMALL LETTER PI}(<i>s</i>))</strong>" in text


def test_the_same_runs_give_the_same_bytes_with_any_number_of_processes(tmp_path):
    write_done(tmp_path / "runs", runs_of("smoke"))
    first, again = (write_report(gather(tmp_path / "runs"), tmp_path / name) for name in ("first", "again"))
    for one, other in zip(first, again, strict=True):
        assert one.relative_to(tmp_path / "first") == other.relative_to(tmp_path / "again")
        assert one.read_bytes() == other.read_bytes(), one.name


def test_an_unwritable_directory_gives_a_one_line_error(report, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match=r"report directory .*cannot be written") as error:
        write_report(gather(report[1]), tmp_path / "file" / "report")
    assert "\n" not in str(error.value)


def test_a_single_run_is_enough_for_a_report(tmp_path):
    write_done(tmp_path / "runs", runs_of("smoke")[:1])
    files = write_report(gather(tmp_path / "runs"), tmp_path / "out")
    assert "no interval" in (tmp_path / "out" / "tables" / "scores.csv").read_text()
    assert not [file for file in files if "differences" in file.name or "learned_floor" in file.name]


def test_remarks_about_the_runs_are_shown(tmp_path):
    runs = runs_of("smoke")
    write_done(tmp_path / "runs", runs[:-1])
    page, *_ = write_report(gather(tmp_path / "runs"), tmp_path / "out")
    assert "<li>pointmaze-umaze: seed 1 is missing for Cal-QL, Monte Carlo floor</li>" in (page.read_text())


def test_an_exact_floor_where_no_value_is_known_is_no_remark(tmp_path):
    tasks = ("winding-road", "fetch-reach")
    runs = [run for run in runs_of("study") if run.task.name in tasks and run.arm in ("cql", "monte_carlo", "exact")]
    write_done(tmp_path / "runs", [run for run in runs if run.seed < 2])
    frames = gather(tmp_path / "runs")
    assert remarks(frames) == []
    others = frames.runs[(frames.runs["task"] == "winding-road") | (frames.runs["arm"] != "monte_carlo")]
    (remark,) = remarks(replace(frames, runs=others))
    assert remark == "fetch-reach: no runs of Cal-QL, Monte Carlo floor, which other tasks have"


def test_results_over_all_tasks_come_first(tmp_path):
    names = ("cql", "monte_carlo", "inflated_0.25", "inflated_1")
    runs = [run for run in runs_of("study") if run.task.name in ("fetch-push", "winding-road") and run.arm in names]
    write_done(tmp_path, [run for run in runs if run.seed < 6])
    files = write_report(gather(tmp_path), tmp_path / "report", grids=["study"])
    page = files[0].read_text()
    assert '<h1 id="what">Grid study: effect of the pessimism floor</h1>' in page
    shown = re.findall(r'<img src="figures/([^"]+)\.svg"', page)
    assert shown == ["tasks", "effects", "dose_response"]
    figures = (tmp_path / "report" / "figures.html").read_text()
    assert re.findall(r'<img src="figures/([^"]+)\.svg"', figures)[:6] == [
        "tasks", "aggregates", "improvement", "performance_profiles", "effects", "dose_response",
    ]  # fmt: skip
    titles = [re.sub("<[^>]*>", "", title) for title in re.findall(r"<h3 id[^>]*>(.*?)</h3>", page)]
    assert titles == ["Difference to Cal-QL, Monte Carlo floor over all tasks", "Aggregates over tasks"]
    (updates,) = {
        run.schedule.offline_steps + run.schedule.online_steps for run in runs if run.task.name == "fetch-push"
    }
    (others,) = {
        run.schedule.offline_steps + run.schedule.online_steps for run in runs if run.task.name != "fetch-push"
    }
    assert f"{(updates + others) * 24 / 1e6:.1f} million gradient steps in " in page
    assert re.search(r"Computed at commit <code>\w+</code>", page)


def test_a_report_about_one_task_shows_its_scores_and_no_estimates_over_tasks(report):
    text = report[3][0].read_text()
    assert 'id="scores"' in text
    assert 'id="effects"' not in text
    assert "performance_profiles" not in (report[2] / "figures.html").read_text()


def test_runs_without_claims_are_compared_with_their_reference(tmp_path):
    arms = ("reference", "official")
    write_done(tmp_path, [run for run in runs_of("implementation") if run.arm in arms and run.seed < 3])
    files = write_report(gather(tmp_path), tmp_path / "report", formats=PRINT)
    page, text = files[0].read_text(), (tmp_path / "report" / "report.md").read_text()
    assert f"These runs test none of the {len(CLAIMS)} registered claims." in page
    assert "These runs test none of the" in text
    assert "0 verdicts" not in page
    assert "Difference to Cal-QL, reference, paired by seed" in page
    for suffix in ("svg", "pdf", "png"):
        assert (tmp_path / "report" / "figures" / f"paired_differences_winding-road-short.{suffix}").is_file()
