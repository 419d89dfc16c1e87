"""What a cluster's queue says of the runs of a root, where any were ever submitted."""

import time
from pathlib import Path

from harness.errors import UserError, one_line
from harness.folders.usage import Known, known_usage
from harness.watching.overview import Queued

# Seconds after which the queue is asked again: its controller serves everybody.
INTERVAL = 10.0

# Seconds for an answer. A status that waits for a sick controller would be none.
PATIENCE = 5.0


class QueueView:
    """The queue, and what accounting says of `costs`, as they were when last asked; `remarks` say why they were not."""

    def __init__(self, root: Path):
        self.root = root
        self.remarks: list[str] = []
        self.costs: dict[str, Known] = {}
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
        from slurm.accounting import keep_accounts
        from slurm.watching import queued_runs

        self.remarks = []
        try:
            self._runs = queued_runs(self.root, PATIENCE)
        except UserError as error:
            self._runs = {}
            self.remarks.append(f"{error}; what waits in SLURM's queue is not known")
        else:
            try:
                keep_accounts(self.root, {queued.job for queued in self._runs.values()}, PATIENCE)
            except (UserError, OSError) as error:
                self.remarks.append(f"{one_line(error)}; costs are those that the runs themselves tell")
        try:
            self.costs = known_usage(self.root)
        except UserError as error:
            self.remarks.append(str(error))
        self._asked = time.monotonic()
