"""Progress and remaining time from status files."""

import io
import re

import pytest
from rich.console import Console

from ablations.grids import runs_of
from harness.folders.reader import RunReader
from harness.launching import progress
from harness.launching.planner import commit
from harness.launching.progress import ProgressDisplay, duration, pack_progress


@pytest.fixture
def packs(tmp_path):
    folders = commit(runs_of("smoke"), tmp_path)
    for folder in folders:
        folder.begin_attempt({})
    return [folders[:2], folders[2:]]


def write(folder, state, **values):
    folder.write_status(state, phase="offline", step=1500, updates_per_second=250.0, **values)


def view(title, pack):
    reader = RunReader(pack[0].path.parent)
    return pack_progress(title, [reader.summary(folder.id) for folder in pack])


def test_progress_of_a_pack(packs):
    pack = packs[0]
    assert view("a", pack).progress == 0.0
    assert view("a", pack).phase == "waiting"
    write(pack[0], "running", progress=0.5)
    write(pack[1], "running", progress=0.7)
    seen = view("a", pack)
    assert seen.progress == pytest.approx(0.6)
    assert seen.speed == 500.0
    assert seen.is_running
    assert seen.line() == "a: 2 runs, offline 1,500"
    write(pack[0], "failed", progress=0.5)
    assert view("a", pack).progress == pytest.approx(0.85)
    assert view("a", pack).speed == 250.0
    write(pack[1], "interrupted", progress=0.7)
    assert view("a", pack).progress == pytest.approx(0.5)
    assert not view("a", pack).is_running
    pack[1].finish({})
    assert view("a", pack).progress == 1.0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (61, "1 min"),
        (750, "12 min"),
        (3599, "1 h 00 min"),
        (12_000, "3 h 20 min"),
        (4_321_000, "1,200 h"),
    ],
)
def test_duration(seconds, text):
    assert duration(seconds) == text


def lines_of(packs, act):
    """The output without a terminal when the display is refreshed after every step of `act`."""
    stream = io.StringIO()
    with ProgressDisplay(packs, Console(file=stream, width=300)) as display:
        display.refresh()
        for step in act:
            step()
            display.next_refresh = 0.0
            display.refresh()
        assert display.bars.tasks[0].total == 4
    return stream.getvalue().splitlines()


def test_plain_lines_name_the_running_packs(packs):
    def begin():
        for folder in packs[1]:
            write(folder, "running", progress=0.5)

    def continue_training():
        for folder in packs[1]:
            folder.finish({})
        write(packs[0][0], "failed", progress=0.1, reason="diverged")
        write(packs[0][1], "running", progress=0.5)

    first, begun, going, last = lines_of(packs, [begin, continue_training])
    assert first == "0% | 0/4 runs done, 0 updates/s, measuring speed"
    assert begun.startswith("25% | 0/4 runs done, 500 updates/s, ")
    assert begun.endswith("| pointmaze-umaze monte_carlo seeds 0,1: 2 runs, offline 1,500")
    assert going.startswith("88% | 2/4 runs done, 1 failed, 250 updates/s, ")
    assert going.endswith("left | pointmaze-umaze cql seeds 0,1: 2 runs, offline 1,500")
    assert last.startswith("88%")


def test_remaining_time_follows_the_speed(packs):
    """A quarter of the work per 10 s leaves 10 s when three quarters are done."""
    stream = io.StringIO()
    display = ProgressDisplay(packs, Console(file=stream, width=300))
    now = 100.0
    display.bars.get_time = lambda: now
    display.bars.reset(display.overall, total=4)
    with display:
        for share in (0.25, 0.5, 0.75):
            now += 10.0
            for folder in [*packs[0], *packs[1]]:
                write(folder, "running", progress=share)
            display.next_refresh = 0.0
            display.refresh()
    assert "75% | 0/4 runs done, 1,000 updates/s, 10 s left" in stream.getvalue()


def test_plain_lines_are_rare(packs, monkeypatch):
    monkeypatch.setattr(progress, "LINE_INTERVAL", 1000.0)
    stream = io.StringIO()
    with ProgressDisplay(packs, Console(file=stream, width=300)) as display:
        for _ in range(50):
            display.refresh()
    assert len(stream.getvalue().splitlines()) == 2


def test_a_terminal_shows_a_bar_per_running_pack(packs):
    for folder in packs[1]:
        write(folder, "running", progress=0.5)
    stream = io.StringIO()
    with ProgressDisplay(packs, Console(file=stream, width=200, force_terminal=True)) as display:
        display.refresh()
    shown = stream.getvalue()
    assert "pointmaze-umaze monte_carlo seeds 0,1" in shown
    assert "offline 1,500" in shown
    assert "2 runs" in shown
    assert "cql seeds" not in shown
    assert "500 updates/s" in shown


@pytest.mark.parametrize("width", [60, 80, 120])
def test_bar_remaining_time_and_counts_are_visible_at_every_width(packs, width):
    for folder in packs[1]:
        write(folder, "running", progress=0.5)
    stream = io.StringIO()
    with ProgressDisplay(packs, Console(file=stream, width=width, force_terminal=True, color_system=None)) as display:
        display.refresh()
    last = [line for line in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue()).splitlines() if line.strip()][-2:]
    assert all(len(line.rstrip()) <= width for line in last)
    assert "25%" in last[0]
    assert "measuring speed" in last[0]
    assert "0/4" in last[0]
    assert "\N{BOX DRAWINGS HEAVY HORIZONTAL}" * 3 in last[1]
    assert "offline 1,500" in last[1]


def test_reading_thousands_of_runs_takes_a_small_part_of_the_launchers_time(packs, monkeypatch):
    """A refresh of 3 s on a terminal, with at most 5% of the time for refreshes: the next one begins 60 s later."""
    clock = [100.0]

    def read(self, folder):
        clock[0] += 3.0 / 4
        return RunReader(folder.path.parent).summary(folder.id)

    monkeypatch.setattr(ProgressDisplay, "_read", read)
    console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None)
    display = ProgressDisplay(packs, console)
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    display.refresh()
    assert display.next_refresh == pytest.approx(100 + 3 + 3 / 0.05)
