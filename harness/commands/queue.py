"""What a cluster's queue says of the runs of a root, where any were ever submitted."""

import time
from pathlib import Path

from harness.errors import UserError
from harness.overview import Queued

# Seconds after which the queue is asked again: its controller serves everybody.
INTERVAL = 10.0

# Seconds for an answer. A status that waits for a sick controller would be none.
PATIENCE = 5.0


class QueueView:
    """The queue as it was when it was last asked; `remarks` say why it could not be."""

    def __init__(self, root: Path):
        self.root = root
        self.remarks: list[str] = []
        self._asked: float | None = None
        self._runs: dict[str, Queued] = {}

    def now(self) -> dict[str, Queued]:
        """The tasks that wait or run, by run id; none where nothing was submitted or the queue does not answer."""
        from slurm.submissions import FOLDER

        if not (self.root / FOLDER).is_dir():
            return {}
        if self._asked is None or time.monotonic() - self._asked > INTERVAL:
            self._ask()
        return self._runs

    def _ask(self) -> None:
        from slurm.watching import queued_runs

        try:
            self._runs, self.remarks = queued_runs(self.root, PATIENCE), []
        except UserError as error:
            self._runs, self.remarks = {}, [f"{error}; what waits in SLURM's queue is not known"]
        self._asked = time.monotonic()
