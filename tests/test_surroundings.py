"""Nothing of the user's environment reaches results, and a module in place of ours is one line."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import floorbench
from ablations.grids import runs_of
from harness.launching.pool import environment_of
from tests.support.run_folder_factory import write_done

PROJECT = Path(floorbench.__file__).parent

# matplotlib takes this from the working directory before anything else.
MATPLOTLIBRC = """
backend: nowhere
text.usetex: True
axes.formatter.use_locale: True
figure.facecolor: black
axes.facecolor: black
axes.prop_cycle: cycler('color', ['r'])
lines.linewidth: 9
font.size: 20
savefig.dpi: 30
svg.fonttype: none
"""

# Runs in every Python process before anything else, as options that a user's start-up file sets.
STARTUP = """
import sys, warnings
import numpy, pandas
numpy.set_printoptions(precision=2, legacy="1.13")
pandas.set_option("display.precision", 1, "display.float_format", "{:.1f}".format)
pandas.set_option("styler.format.precision", 1)
"""


# What each process of a report does.
FIGURE = r"""
import sys, floorbench; floorbench.leave_surroundings()
from pathlib import Path
from results.figures.drawing import Drawing, write
from results.style import drawing_style, label
import pandas as pd
from matplotlib.figure import Figure
with drawing_style():
    figure = Figure(figsize=(2, 2))
    axes = figure.subplots()
    axes.plot([0, 1, 2], [1.0, -0.5, 2.0], label="return \u2212 floor")
    axes.legend()
numbers = pd.DataFrame({"value": [0.123456789, -1e-12], "name": [label("cql"), "\u2212"]})
write(Drawing("figure", "A figure", figure, numbers, "Mean \u2212 floor."), Path(sys.argv[1]))
"""


@pytest.fixture
def hostile(tmp_path):
    """Variables of a user's environment, with a locale that is not installed, and a folder with a matplotlibrc."""
    (tmp_path / "hostile").mkdir()
    (tmp_path / "hostile/matplotlibrc").write_text(MATPLOTLIBRC)
    (tmp_path / "startup").mkdir()
    (tmp_path / "startup/sitecustomize.py").write_text(STARTUP)
    variables = {
        "MPLBACKEND": "nowhere", "TZ": "Asia/Tokyo", "LC_ALL": "tlh_XX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0",
        "PYTHONWARNINGS": "error", "COLUMNS": "40",
        "PYTHONPATH": f"{tmp_path / 'startup'}{os.pathsep}{PROJECT}",
    }  # fmt: skip
    return tmp_path / "hostile", variables


def files(place, folder, variables, *arguments):
    """The files that a program writes to `place`, by name; it must report nothing else."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "PYTHON"))}
    environment |= {"PYTHONPATH": str(PROJECT), "LC_ALL": "C.UTF-8", **variables}
    place.mkdir()
    command = [sys.executable, "-P", *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stderr.decode() in ("", f"report: {place}/report.html\n")
    return {file.relative_to(place): file.read_bytes() for file in place.rglob("*") if file.is_file()}


def test_a_figure_depends_on_nothing_outside(tmp_path, hostile):
    """Backend, matplotlibrc, locale, time zone, warnings as errors, and options of pandas and NumPy."""
    plain = files(tmp_path / "plain", tmp_path, {}, "-c", FIGURE, tmp_path / "plain")
    assert len(plain) == 5
    assert files(tmp_path / "other", *hostile, "-c", FIGURE, tmp_path / "other") == plain


@pytest.mark.slow
def test_a_report_depends_on_nothing_outside(tmp_path, hostile):
    write_done(tmp_path / "runs", runs_of("smoke"))
    report = ("-m", "floorbench", "report", "--root", tmp_path / "runs", "--out")
    plain = files(tmp_path / "plain", tmp_path, {}, *report, tmp_path / "plain")
    other = files(tmp_path / "other", *hostile, *report, tmp_path / "other")
    assert len(plain) > 40
    assert [name for name in plain if plain[name] != other.get(name)] == []
    assert set(plain) == set(other)


def test_how_libraries_compute_is_not_chosen_by_the_environment(monkeypatch):
    """Neither in a command nor in a worker, whose job may have loaded the modules of a cluster."""
    chosen = ("MKL_CBWR", "ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "NVIDIA_TF32_OVERRIDE")
    for name in (*chosen, "MKLROOT"):
        monkeypatch.setenv(name, "1")
    assert set(os.environ) - set(environment_of(workers=1)) == set(chosen)
    program = "import os, floorbench; floorbench.leave_surroundings(); print(*sorted(os.environ))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=PROJECT, check=True)
    assert set(os.environ) - set(done.stdout.split()) == set(chosen)


@pytest.mark.parametrize("name", ["results/__init__.py", "harness.py"])
def test_a_module_in_place_of_ours_is_named(name, tmp_path):
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_text("")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(PROJECT)])}
    done = subprocess.run(
        [sys.executable, "-P", "-m", "floorbench", "--help"], env=environment, capture_output=True, text=True, cwd="/"
    )
    package = name.partition("/")[0].removesuffix(".py")
    place = file.parent if name.startswith("results") else file
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"floorbench: error: package {package} of {PROJECT}: {place} is imported in place of it; rename that, or take "
        "its folder off PYTHONPATH\n"
    )
