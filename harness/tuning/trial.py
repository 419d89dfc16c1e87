"""A trial whose end is not told, with its runs."""

from dataclasses import dataclass
from pathlib import Path

from harness.folders.run_folder import RunFolder
from harness.settings import Run
from harness.tuning.search import Search


@dataclass(frozen=True)
class Trial:
    """One trial of an arm's search."""

    search: Search
    number: int
    runs: tuple[Run, ...]

    def folders(self, root: Path) -> list[RunFolder]:
        """The folders of its runs."""
        return [RunFolder.of(root, run) for run in self.runs]
