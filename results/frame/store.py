"""The frames, and frames as files: what a report can be made of again without the run folders."""

from collections.abc import Collection
from dataclasses import dataclass, fields
from io import BytesIO
from pathlib import Path

import pandas as pd

from harness.errors import UserError
from harness.files import atomic_write

# Raised whenever a column changes its meaning.
FORMAT = 1


@dataclass(frozen=True)
class Frames:
    """What run folders say: see `results.frame.gathering` for the columns."""

    # One row per run.
    runs: pd.DataFrame
    # One row per finished run and evaluation.
    evaluations: pd.DataFrame
    # One row per run that has been started.
    provenance: pd.DataFrame


NAMES = tuple(field.name for field in fields(Frames))


def export(frames: Frames, folder: Path) -> list[Path]:
    """Write `runs.parquet`, `evaluations.parquet` and `provenance.parquet`; returns them.

    Raises UserError if the folder cannot be written.
    """
    folder = Path(folder)
    paths = [folder / f"{name}.parquet" for name in NAMES]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, path in zip(NAMES, paths, strict=True):
            frame = getattr(frames, name).copy()
            frame.attrs = {"format": FORMAT}
            buffer = BytesIO()
            frame.to_parquet(buffer, index=False, compression="zstd")
            with atomic_write(path) as stream:
                stream.write(buffer.getbuffer())
    except OSError as error:
        raise UserError(f"folder of frames {folder}: cannot be written ({error.strerror}); name another") from None
    return paths


def load(folder: Path, only: Collection[str] | None = None) -> Frames:
    """The frames that `export` wrote into a folder; of `only` the runs of those ids, where given.

    Raises UserError if they are not there, are damaged or hold none of the runs.
    """
    frames = [_loaded(Path(folder) / f"{name}.parquet") for name in NAMES]
    if only is not None:
        frames = [frame[frame["run"].isin(only)].reset_index(drop=True) for frame in frames]
    if frames[0].empty:
        raise UserError(f"{folder}: there is no run here to report" + (" of those named" if only is not None else ""))
    return Frames(*frames)


def _loaded(path: Path) -> pd.DataFrame:
    try:
        frame = pd.read_parquet(path)
    except FileNotFoundError:
        raise UserError(f"{path}: is missing; `floorbench report --export {path.parent}` writes it") from None
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{path}: is damaged ({str(error).splitlines()[0]})") from None
    if frame.attrs != {"format": FORMAT}:
        raise UserError(f"{path}: was not written by this version (format {FORMAT}); export the frames again")
    # Parquet knows lists, not tuples.
    for column in frame.select_dtypes(object):
        frame[column] = [tuple(value.tolist()) if hasattr(value, "tolist") else value for value in frame[column]]
    frame.attrs = {}
    return frame
