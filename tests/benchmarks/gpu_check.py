"""First contact with a GPU: what it is, whether updates are right on it, and how fast they are.

`make gpu-check` runs every phase in a process of its own, which is ended at the deadline of the phase, so that a phase
that fails or hangs costs no other one. The results so far are written after every phase, in
`~/.cache/floorbench/gpu_checks/NAME.json`, from which `submit` and `plan` estimate the time of runs on that GPU.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from algorithms.kernels import gpu
from harness.files import write_json
from tests.benchmarks.gpu_speed import measure, ours, plain, profiled
from tests.benchmarks.gpu_training import acting, training
from tests.benchmarks.peers.sizes import DEEP, SIZES, Size

ROOT = Path(__file__).parents[2]

# Seconds that a phase may take; together at most eight minutes.
DEADLINES = {
    "machine": 25, "correctness": 75, "demo": 30, "reference": 35, "deep": 45, "compiled demo": 40,
    "compiled reference": 45, "triton demo": 25, "triton reference": 35, "profile": 25, "acting": 20, "training": 80,
}  # fmt: skip

# With --tiny a phase may take this many times as long: on a CPU that may be busy, only the results matter.
TINY_FACTOR = 5

PACKS = (1, 8, 32, 64)

# The ways of updates that need no compilation.
PLAIN_WAYS = ("eager", "captured", "drawn")

# What a phase measures on a device, or in tiny sizes; later parts of the result replace earlier ones of the same name.
Phase = Callable[[str, bool], Iterator[dict[str, Any]]]

# With --tiny every phase takes a second or two, on the CPU too.
TINY_PACKS, TINY = (1, 2), {"hidden": (8, 8), "batch_size": 4, "n_actions": 2}


def main(arguments: list[str]) -> int:
    """Run all phases, or one of them; returns 0 if all have succeeded."""
    parser = argparse.ArgumentParser(prog="gpu_check", description=__doc__)
    parser.add_argument("--phase", choices=DEADLINES, help="only this phase, here; prints a line of JSON")
    parser.add_argument("--device", help="default: the GPU; with --tiny the CPU where there is none")
    parser.add_argument("--tiny", action="store_true", help="small sizes, to try the check itself")
    parser.add_argument("--out", type=Path, help="folder of the results")
    options = parser.parse_args(arguments)
    if options.device is None:
        options.device = "cpu" if options.tiny and gpu.obstacle() else gpu.DEVICE
    if options.device == gpu.DEVICE and (reason := gpu.obstacle()):
        print(f"gpu-check: {reason}", file=sys.stderr)
        return 2
    if options.phase:
        if options.device == "cpu":
            torch.set_num_threads(1)
        for part in PHASES[options.phase](options.device, options.tiny):
            print(json.dumps(part), flush=True)
        return 0
    # Estimates must not take rates of tiny sizes or of the CPU.
    is_trial = options.tiny or options.device == "cpu"
    folder = gpu.checks_folder() / "trials" if is_trial else gpu.checks_folder()
    return check(options.device, options.tiny, options.out or folder)


def check(device: str, tiny: bool, folder: Path) -> int:
    """Run every phase in a process of its own and write the results after each."""
    results: dict[str, Any] = {
        "name": "CPU" if device == "cpu" else torch.cuda.get_device_name(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "phases": {},
    }
    file = folder / f"{re.sub(r'[^A-Za-z0-9]+', '-', results['name']).strip('-')}.json"
    folder.mkdir(parents=True, exist_ok=True)
    for phase, deadline in DEADLINES.items():
        began = time.monotonic()
        result = in_process(phase, device, tiny, deadline * (TINY_FACTOR if tiny else 1))
        results["phases"][phase] = {"seconds": round(time.monotonic() - began, 1), **result}
        if "rates" in result:
            results["rates"] = result["rates"]
        write_json(file, results)
        ended = (result.get("error", "").strip().splitlines() or ["done"])[-1]
        print(f"{phase}: {ended} ({time.monotonic() - began:.0f} s)", *said(result), sep="\n  ", flush=True)
    print(f"written to {file}; to draw the speeds: floorbench report bench --from {file}")
    return int(any("error" in result for result in results["phases"].values()))


def said(result: dict[str, Any]) -> Iterator[str]:
    """What a user wants to know of a phase at once; of the speeds, those of the largest pack."""
    speeds = result.get("updates", [])
    for row in speeds:
        if row["side"] != "plain" and row["runs"] == max(row["runs"] for row in speeds):
            speed = row["updates_per_second"]
            times = f"{speed / speeds[0]['updates_per_second']:.1f} times plain"
            yield f"{row['side']}, {row['runs']} runs: {speed:,.0f} run-updates/s, {times}"
    for name in ("result", "interrupted", "half_cancelled", "two_workers"):
        if name in result:
            yield f"{name.replace('_', ' ')}: {result[name]}"
    for name in ("act", "evaluation", "online_step"):
        if name in result:
            yield f"{name.replace('_', ' ')}: {1e3 * result[name]:.3g} ms"
    for name, value in result.get("rates", {}).items():
        yield f"{name.replace('_', ' ')}: {value:.3g}"


def in_process(phase: str, device: str, tiny: bool, deadline: float) -> dict[str, Any]:
    """The parts of the result that a phase has printed, and its error if it failed or was ended at its deadline."""
    command = [sys.executable, "-m", "tests.benchmarks.gpu_check", "--phase", phase, "--device", device]
    if tiny:
        command.append("--tiny")
    # Files, because processes that the phase has started could keep pipes open.
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = subprocess.Popen(command, stdout=out, stderr=err, text=True, cwd=ROOT, start_new_session=True)
        late = False
        try:
            process.wait(deadline)
        except subprocess.TimeoutExpired:
            late = True
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        out.seek(0)
        err.seek(0)
        result: dict[str, Any] = {}
        for line in out:
            with suppress(ValueError):
                result |= json.loads(line)
        if late:
            result["error"] = f"not done after {deadline:g} s"
        elif process.returncode:
            result["error"] = (err.read().strip() or f"exit code {process.returncode}")[-2_000:]
    return result


def machine(device: str, tiny: bool) -> Iterator[dict[str, Any]]:
    """The GPU and its rates: an operation within a graph, copies in its memory, matrix products by precision."""
    result: dict[str, Any] = {"torch": torch.__version__, "cuda": torch.version.cuda}
    if device != "cpu":
        properties = torch.cuda.get_device_properties(0)
        result |= {"multiprocessors": properties.multi_processor_count, "memory": properties.total_memory}
        query = ["nvidia-smi", "--query-gpu=driver_version,mig.mode.current,power.limit", "--format=csv,noheader"]
        # Some containers lack the command.
        with suppress(OSError):
            result["nvidia-smi"] = subprocess.run(query, capture_output=True, text=True).stdout.strip()
    numbers = torch.zeros(2**14 if tiny else 2**28, device=device)
    target = torch.empty_like(numbers)
    copied = 2 * numbers.numel() * numbers.element_size() / seconds_of(lambda: target.copy_(numbers), device)
    size = 64 if tiny else 8192
    products = {}
    for name, dtype, tf32 in (("float32", torch.float32, False), ("tf32", torch.float32, True),
                              ("bfloat16", torch.bfloat16, False)):  # fmt: skip
        torch.backends.cuda.matmul.allow_tf32 = tf32
        matrix = torch.zeros(size, size, dtype=dtype, device=device)
        products[name] = 2 * size**3 / seconds_of(lambda matrix=matrix: matrix @ matrix, device)
    torch.backends.cuda.matmul.allow_tf32 = False
    rates = operation_seconds(device), copied, products["float32"]
    yield {**result, "products": products, "rates": dict(zip(gpu.RATES, rates, strict=True))}


def operation_seconds(device: str, operations: int = 500) -> float:
    """Seconds of a small operation; on a GPU within a graph."""
    number = torch.zeros(64, device=device)

    def several() -> None:
        for _ in range(operations):
            number.add_(1.0)

    if device == "cpu":
        return seconds_of(several, device) / operations
    several()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        several()
    return seconds_of(graph.replay, device) / operations


def seconds_of(action: Callable[[], object], device: str, repeats: int = 10) -> float:
    """Seconds of an action, the shortest of three rounds of some repeats."""
    wait = torch.cuda.synchronize if device != "cpu" else lambda: None
    action()
    shortest = float("inf")
    for _ in range(3):
        wait()
        began = time.perf_counter()
        for _ in range(repeats):
            action()
        wait()
        shortest = min(shortest, (time.perf_counter() - began) / repeats)
    return shortest


def correctness(device: str, tiny: bool) -> Iterator[dict[str, Any]]:
    """The tests marked gpu but for the compiled kernel, which takes minutes; the tiny check only collects them."""
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-k", "not cuda_compiled", "-p", "no:cacheprovider"]
    # Most of the time Triton compiles, on cores.
    command += ["--collect-only"] if tiny else ["--numprocesses", "4"]
    done = subprocess.run([*command, "tests/algorithms"], capture_output=True, text=True, cwd=ROOT)
    last = (done.stdout.strip().splitlines() or [""])[-1]
    if done.returncode:
        raise RuntimeError(done.stdout[-2_000:])
    yield {"result": last}


def updates(
    size: Size, device: str, tiny: bool, ways: tuple[str, ...], packs: tuple[int, ...]
) -> Iterator[dict[str, Any]]:
    """Run-updates per second of the plain baseline and of packs, with all so far in every part of the result."""
    size = replace(size, **TINY) if tiny else size
    seconds = 0.01 if tiny else 1.0
    measured = [measure("plain", 1, lambda: plain(size, device), device, seconds)]
    yield {"units": f"{size.hidden[0]} x {len(size.hidden)}", "updates": [asdict(row) for row in measured]}
    for runs in TINY_PACKS if tiny else packs:
        for how in ways:
            made = measure(how, runs, lambda runs=runs, how=how: ours(size, runs, how, device), device, seconds)
            measured.append(made)
            yield {"updates": [asdict(row) for row in measured]}


def profile(device: str, tiny: bool) -> Iterator[dict[str, Any]]:
    """Nodes of the updates of a block, their time, and the longest kernels."""
    rows: list[dict[str, Any]] = []
    for name, runs in (("demo", 2),) if tiny else (("demo", 64), ("reference", 1), ("reference", 64)):
        size = replace(SIZES[name], **TINY) if tiny else SIZES[name]
        block = ours(size, runs, "drawn", device)
        block()
        rows.append({"size": name, "runs": runs, **profiled(block, device, gpu.BLOCK)})
        yield {"profiles": rows}


def speed(size: Size, ways: tuple[str, ...], packs: tuple[int, ...], on_cpu: bool = True) -> Phase:
    """The phase that measures the updates of a size; ways that compile for a GPU are left out on the CPU."""
    return lambda device, tiny: updates(size, device, tiny, ways if on_cpu or device != "cpu" else (), packs)


PHASES: dict[str, Phase] = {
    "machine": machine,
    "correctness": correctness,
    "demo": speed(SIZES["demo"], PLAIN_WAYS, PACKS),
    "reference": speed(SIZES["reference"], PLAIN_WAYS, PACKS),
    "deep": speed(DEEP, PLAIN_WAYS, PACKS),
    "compiled demo": speed(SIZES["demo"], ("compiled",), (64,), on_cpu=False),
    "compiled reference": speed(SIZES["reference"], ("compiled",), (64,), on_cpu=False),
    "triton demo": speed(SIZES["demo"], ("triton",), PACKS, on_cpu=False),
    "triton reference": speed(SIZES["reference"], ("triton",), PACKS, on_cpu=False),
    "profile": profile,
    "acting": acting,
    "training": training,
}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
