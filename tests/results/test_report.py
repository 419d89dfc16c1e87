"""The report about runs: a self-contained page, complete files, reproducible bytes."""

import re
from html.parser import HTMLParser

import pandas as pd
import pytest

from ablations.claims import CLAIMS
from ablations.grids import runs_of
from harness.errors import UserError
from results.frame import gather
from results.report import write_report
from tests.support.run_folder_factory import fail, lose, write_done

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
    for name in ("learning_curves_pointmaze-medium", "values_and_floors_pointmaze-medium", "score_by_floor"):
        assert {f"figures/{name}.{suffix}" for suffix in ("pdf", "svg", "png", "csv", "txt")} <= written


def test_the_page_is_self_contained(report):
    _, _, out, files = report
    text = files[0].read_text()
    page = Tags(text)
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    for link in page.links:
        if link.startswith("#"):
            assert link[1:] in page.ids
        else:
            assert (out / link).is_file()
    written = sum(path.suffix == ".svg" for path in (out / "figures").iterdir())
    assert text.count("<svg") == written > 3 + len(CLAIMS) / 2
    assert "@import" not in text
    assert "prefers-color-scheme: dark" in text


def test_references_inside_inline_figures_resolve(report):
    text = report[3][0].read_text()
    ids = set(Tags(text).ids)
    references = set(re.findall(r"url\(#([^)]+)\)", text))
    assert references
    assert references <= ids


def test_every_claim_has_a_section_with_its_runs(report):
    runs, _, out, files = report
    text = files[0].read_text()
    for claim in CLAIMS:
        assert f'id="claim-{claim.id}"' in text
    section = text[text.index('id="claim-cal-ql-smaller-dip"') : text.index('id="claim-cal-ql-lower-regret"')]
    used = [run.id for run in runs if run.arm in ("cql", "monte_carlo")]
    assert all(f"<code>{run}</code>" in section for run in used)
    assert "6 runs used" in section
    assert "3 seeds; at least 6 are needed" in section.lower()
    assert "figures/claim_cal-ql-smaller-dip.pdf" in section
    unseen = text[text.index('id="claim-naive-truncation-binds"') :].partition("</section>")[0]
    assert "Not tested on pointmaze-medium" in unseen
    assert "no finished run of naive_truncation or exact" in unseen
    verdicts = pd.read_csv(out / "tables" / "verdicts.csv")
    assert set(verdicts["id"]) == {claim.id for claim in CLAIMS}


def test_the_markdown_report_has_the_same_content(report):
    _, _, out, _ = report
    text = (out / "report.md").read_text()
    pictures = re.findall(r"!\[[^]]*\]\(([^)]+)\)", text)
    assert len(pictures) > 10
    assert all((out / picture).is_file() for picture in pictures)
    assert "**2 of 15 runs are not done" in text
    assert (out / "tables" / "scores.md").read_text().splitlines()[2] in text
    assert "### Cal-QL's score dips less than CQL's after the switch." in text
    assert "\n\n\n" not in text


def test_every_run_is_listed_with_its_state_and_reason(report):
    runs, _, _, files = report
    text = files[0].read_text()
    assert all(run.id in text for run in runs)
    assert "2 of 15 runs are not done" in text
    assert "parameters not finite at update &lt;812&gt; &amp; after" in text
    assert "<812>" not in text
    assert "13 done, 1 lost, 1 failed" in text


def test_settings_that_determine_the_scale_are_shown(report):
    text = report[3][0].read_text()
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
    text = report[3][0].read_text()
    for term in ("regret_eval", "regret_train", "Dip", "Recovery", "Calibration, offline end"):
        assert f"<strong>{term}</strong>" in text


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
    assert "<li>pointmaze-umaze, Cal-QL, Monte Carlo floor: no run of seed 1, which other arms have</li>" in (
        page.read_text()
    )


def test_results_over_all_tasks_come_first(tmp_path):
    names = ("cql", "monte_carlo", "inflated_0.25", "inflated_1")
    runs = [run for run in runs_of("study") if run.task.name in ("fetch-push", "winding-road") and run.arm in names]
    write_done(tmp_path, [run for run in runs if run.seed < 6])
    files = write_report(gather(tmp_path), tmp_path / "report")
    page, text = files[0].read_text(), (tmp_path / "report" / "report.md").read_text()
    headings = re.findall(r"<h[23][^>]*>([^<]+)</h", page)
    assert headings[:5] == [
        "All tasks",
        "Differences to Cal-QL, Monte Carlo floor",
        "Inflation of the floor",
        "Difference to Cal-QL, Monte Carlo floor over all tasks",
        "Aggregates over tasks",
    ]
    assert headings.count("Inflation of the floor") == 1
    assert text.index("## All tasks") < text.index("## Claims")
    (updates,) = {
        run.schedule.offline_steps + run.schedule.online_steps for run in runs if run.task.name == "fetch-push"
    }
    (others,) = {
        run.schedule.offline_steps + run.schedule.online_steps for run in runs if run.task.name != "fetch-push"
    }
    assert f"{(updates + others) * 24 / 1e6:.1f} million gradient steps in " in page
    assert re.search(r"The runs were computed at commit <code>\w+</code>", page)


def test_a_report_about_one_task_has_no_section_over_all_tasks(report):
    assert 'id="across"' not in report[3][0].read_text()


def test_runs_without_claims_are_compared_with_their_reference(tmp_path):
    arms = ("reference", "official")
    write_done(tmp_path, [run for run in runs_of("implementation") if run.arm in arms and run.seed < 3])
    files = write_report(gather(tmp_path), tmp_path / "report")
    page, text = files[0].read_text(), (tmp_path / "report" / "report.md").read_text()
    assert "These runs test none of the claims." in page
    assert f"{len(CLAIMS)} claims that these runs do not test" in page
    assert "These runs test none of the claims." in text
    assert "Difference to Cal-QL, reference, paired by seed" in page
    assert (tmp_path / "report" / "figures" / "paired_differences_winding-road-short.pdf").is_file()
