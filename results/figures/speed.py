"""The time of an update by part, and the throughput of its matrix products as a share of the core's peak."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, NullLocator, StrMethodFormatter

from results.figures.drawing import Drawing
from results.style import ACCENT, AMBER, BLUE, FAINT, GREEN, INK, ORANGE, PAGE, drawing_style

# Parts of an update by their benchmark names, in the order of the bars, with their colours.
PARTS = {
    "critic loss": BLUE,
    "policy gradient": AMBER,
    "policy samples": GREEN,
    "optimizer and target": ACCENT,
}
KERNELS = {"fused": BLUE, "torch": ORANGE}


def share_of_peak(benchmarks: pd.DataFrame) -> Drawing | None:
    """Plot the throughput of the critics' loss by shape, kernel and number of runs; None if it was not measured.

    Numbers: shape, kernel, runs, gflops, peak_gflops, share_of_peak.
    """
    numbers = benchmarks[benchmarks["part"] == "critic loss"]
    if numbers.empty:
        return None
    numbers = numbers[["shape", "kernel", "runs", "gflops", "peak_gflops", "share_of_peak"]].reset_index(drop=True)
    shapes = list(numbers["shape"].drop_duplicates())
    with drawing_style():
        figure = Figure(figsize=(PAGE, 2.2), layout="constrained")
        panels = figure.subplots(1, len(shapes), sharey=True, squeeze=False)[0]
        for axes, shape in zip(panels, shapes, strict=True):
            shape_rows = numbers[numbers["shape"] == shape]
            packs = sorted(shape_rows["runs"].unique())
            for kernel, group in shape_rows.groupby("kernel", sort=False):
                offset = -0.2 if kernel == "fused" else 0.2
                places = [packs.index(runs) + offset for runs in group["runs"]]
                axes.bar(places, group["share_of_peak"], width=0.36, color=KERNELS[kernel], label=f"{kernel} kernel")
            axes.axhline(1.0, color=FAINT, linewidth=0.8, zorder=0)
            axes.set(title=shape, xticks=range(len(packs)), xticklabels=[str(runs) for runs in packs])
            axes.set_xlabel("Runs in the pack")
        panels[0].set_ylabel("Share of the core's peak")
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper right", ncols=2)
    caption = (
        "Floating-point operations per second of the critics' loss (forward and backward, two critics), as a share of "
        "those of fused multiply-adds in the core's widest registers, measured before and after, by width x depth of "
        "the networks and by the number of runs in the pack. One thread; median over repetitions. Missing bars were "
        "not measured."
    )
    return Drawing("share_of_peak", "Critic loss against the peak of the core", figure, numbers, caption)


def update_parts(benchmarks: pd.DataFrame) -> Drawing | None:
    """Plot the time of an update by part, per run; None if no update was measured.

    Numbers: shape, kernel, runs, part, microseconds (per run; "rest": the update minus its parts).
    """
    rows = []
    packs = benchmarks[benchmarks["shape"].notna() & (benchmarks["case"] == "")]
    packs = packs.assign(microseconds=1e6 * packs["seconds"] / packs["runs"].astype(float))
    for (shape, kernel, runs), group in packs.groupby(["shape", "kernel", "runs"], sort=False):
        times = dict(zip(group["part"], group["microseconds"], strict=True))
        if "update" not in times:
            continue
        parts = {part: times.get(part, 0.0) for part in PARTS}
        parts["rest"] = max(times["update"] - sum(parts.values()), 0.0)
        rows += [{"shape": shape, "kernel": kernel, "runs": runs, "part": part, "microseconds": value}
                 for part, value in parts.items()]  # fmt: skip
    if not rows:
        return None
    numbers = pd.DataFrame(rows)
    shapes = list(numbers["shape"].drop_duplicates())
    with drawing_style():
        figure = Figure(figsize=(PAGE, 2.8), layout="constrained")
        panels = figure.subplots(1, len(shapes), squeeze=False)[0]
        for axes, shape in zip(panels, shapes, strict=True):
            _bars(axes, numbers[numbers["shape"] == shape])
            axes.set_title(shape)
        panels[0].set_ylabel("Time per run and update [ms]")
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=5)
    caption = (
        "Time of one update per run, by kernel (F: fused, T: torch) and number of runs in the pack. Parts were timed "
        "separately; the rest is the update minus their sum: target values, target actions, noise and logging. One "
        "thread; median over repetitions."
    )
    return Drawing("update_parts", "Where the time of an update goes", figure, numbers, caption)


def _bars(axes: Axes, numbers: pd.DataFrame) -> None:
    """Plot a stacked bar of the parts per kernel and pack size."""
    table = numbers.pivot_table(index=["kernel", "runs"], columns="part", values="microseconds", sort=False) / 1e3
    bottom = [0.0] * len(table)
    for part, colour in {**PARTS, "rest": FAINT}.items():
        axes.bar(range(len(table)), table[part], bottom=bottom, width=0.7, color=colour, label=part)
        bottom = [below + value for below, value in zip(bottom, table[part], strict=True)]
    labels = [f"{kernel[0].upper()}\n{runs}" for kernel, runs in table.index]
    axes.set_xticks(range(len(table)), labels, color=INK)
    axes.tick_params(axis="x", length=0)


# Ways of updates on a GPU as gpu-check names them, with their colours and markers.
WAYS = {
    "plain": (INK, "X"), "eager": (ORANGE, "o"), "captured": (AMBER, "s"), "drawn": (BLUE, "^"),
    "compiled": (GREEN, "D"), "triton": (ACCENT, "v"),
}  # fmt: skip


def gpu_speeds(check: pd.DataFrame) -> Drawing:
    """Plot the run-updates per second of a frame of `results.reports.gpu_checks.read` by size, way and number of runs.

    Numbers: size, side, runs, updates_per_second, times_plain.
    """
    numbers = check[["size", "side", "runs", "updates_per_second", "times_plain"]].reset_index(drop=True)
    sizes, packs = list(numbers["size"].drop_duplicates()), sorted(numbers["runs"].unique())
    with drawing_style():
        figure = Figure(figsize=(PAGE, 2.8), layout="constrained")
        panels = figure.subplots(1, len(sizes), sharex=True, sharey=True, squeeze=False)[0]
        for axes, size in zip(panels, sizes, strict=True):
            axes.set(xscale="log", yscale="log", xlabel="Runs in the pack")
            for way, group in numbers[numbers["size"] == size].groupby("side", sort=False):
                colour, marker = WAYS.get(str(way), (FAINT, "o"))
                style = {"color": colour, "marker": marker, "markersize": 5, "label": way}
                axes.plot(group["runs"], group["updates_per_second"], clip_on=False, **style)
                if way == "plain":
                    axes.axhline(group["updates_per_second"].iloc[0], color=FAINT, linewidth=0.8, zorder=0)
            units = check.attrs["units"].get(size)
            axes.set_title(f"{size}, {units} units" if units else size)
            axes.set_xticks(packs, [str(runs) for runs in packs])
            axes.xaxis.set_minor_locator(NullLocator())
        span = numbers["updates_per_second"].max() / numbers["updates_per_second"].min()
        panels[0].yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if span < 100 else (1.0,)))
        panels[0].yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        panels[0].yaxis.set_minor_formatter(NullFormatter())
        panels[0].set_ylabel("Run-updates per second")
        handles = {label: handle for axes in panels
                   for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}  # fmt: skip
        figure.legend(handles.values(), handles.keys(), loc="outside upper right", ncols=len(handles))
    caption = (
        f"Gradient steps of the runs of a pack per second on {check.attrs['machine']}, by size, way and runs. "
        "Plain is one run in plain PyTorch (grey line). Missing points were not measured."
    )
    return Drawing("gpu_speeds", "Updates on a GPU", figure, numbers, caption)
