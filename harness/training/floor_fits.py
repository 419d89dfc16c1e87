"""Fits of learned floors, kept in the root so that runs that need the same one share it.

A fit is one file per key, the hash of everything that affects its bytes: the data, the settings of the fit and of the
returns-to-go, the seed, the code and the machine type, with its GPU if that computes the fit. A shared fit therefore
has the bytes of a run's own. Files are written atomically with a checksum; a missing or damaged one is fitted again.
"""

import contextlib
import functools
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import filelock
import torch
from torch import Tensor

from algorithms.behaviour_value import FitReport
from harness.errors import UserError
from harness.folders.checkpoint import Checkpoint, Checkpoints, Position
from harness.folders.provenance import PROJECT, gpus, package_versions, processor
from harness.plain_values import canonical_json
from harness.settings import Run, run_to_dict

# Folder of the fits in a root.
FOLDER = "learned_floors"

# A fit is stored as the checkpoint of a run that has not begun.
START = Position(0, 0, evaluated=False)

# Packages whose code affects a fit.
CODE = ("algorithms", "harness")


@dataclass(frozen=True)
class FloorFit:
    """The result of fitting the networks of one learned floor."""

    parameters: Tensor  # [M, P] of M networks
    report: FitReport


def fit_key(run: Run, content_hash: str) -> str:
    """The hash of what affects the fit of a run's learned floor to the dataset with this content hash."""
    values = run_to_dict(run)
    returns = {name: values["floor"][name] for name in ("truncation", "bootstrap_value")}
    fit = {name: values[name] for name in ("task", "behaviour_value", "seed")}
    content = {"data": content_hash, "returns": returns, **fit, **_environment()}
    if run.algorithm.on_gpu:
        content["gpu"] = gpus()
    return hashlib.sha256(canonical_json(content).encode()).hexdigest()[:32]


@functools.cache
def _environment() -> dict[str, Any]:
    """Code, packages and machine type."""
    files = sorted(file for package in CODE for file in (PROJECT / package).rglob("*.py"))
    code = hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()
    vectors = torch.backends.cpu.get_cpu_capability()
    return {"code": code, "packages": package_versions(), "processor": f"{processor()}, {vectors}"}


class FitStore:
    """The fits of a root."""

    def __init__(self, root: Path):
        self.folder = Path(root) / FOLDER

    def load(self, keys: Iterable[str]) -> dict[str, FloorFit]:
        """The fits of these keys, without missing and damaged ones."""
        fits = {}
        for key in keys:
            with contextlib.suppress(UserError, OSError, KeyError, TypeError):
                stored = Checkpoints(self.folder / key).load(START)
                report = FitReport(**stored.numbers["report"])
                fits[key] = FloorFit(torch.from_numpy(stored.arrays["parameters"]), report)
        return fits

    def save(self, fits: Mapping[str, FloorFit]) -> None:
        """Store fits by key. What cannot be written or has diverged is left out: only other runs need the files."""
        for key, fit in fits.items():
            content = Checkpoint(START, {"parameters": fit.parameters.numpy()}, {"report": asdict(fit.report)})
            with contextlib.suppress(OSError, ValueError):
                (self.folder / key).mkdir(parents=True, exist_ok=True)
                Checkpoints(self.folder / key).save(content)

    @contextlib.contextmanager
    def reserved(self, keys: Iterable[str]) -> Iterator[None]:
        """Let other workers that need these fits wait until the block ends.

        Locks are taken in sorted order, so that two workers never wait for each other; the system releases those of a
        killed worker. On file systems without locks, workers may fit the same floor twice, with equal bytes.
        """
        with contextlib.ExitStack() as locks:
            with contextlib.suppress(OSError, NotImplementedError):
                for key in sorted(set(keys)):
                    (self.folder / key).mkdir(parents=True, exist_ok=True)
                    locks.enter_context(filelock.FileLock(self.folder / key / ".lock"))
            yield
