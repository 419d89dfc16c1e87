"""Whether a task can answer a question about fine-tuning at all: the gate that a task passes before a study."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import pandas as pd

from results.style import label
from results.tables.table import Table, number

# Scores at the switch between which a task can show both a fall and a gain.
LOWEST, HIGHEST = 0.3, 0.9

# Mean change online, of any arm, below which nothing happens on a task.
SMALLEST_CHANGE = 0.15

# Arms whose offline scores decide, by field of `Gate`.
_SCORES = {"cql": "cql", "cal_ql": "monte_carlo", "behaviour_cloning": "behaviour_cloning"}


@dataclass(frozen=True)
class Gate:
    """The numbers that decide whether a task passes, means over its runs; None for arms without runs."""

    task: str
    # Score at the end of the offline phase (mean of its last two evaluations).
    cql: float | None
    cal_ql: float | None
    behaviour_cloning: float | None
    # The largest gain and the largest loss of an arm in the online phase, and these arms.
    gain: float
    gaining: str
    loss: float
    losing: str

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why the task does not pass; empty if it does."""
        reasons = []
        scores = [score for score in (self.cql, self.cal_ql) if score is not None]
        if not scores:
            reasons.append("no runs of CQL or Cal-QL")
        elif not LOWEST <= sum(scores) / len(scores) <= HIGHEST:
            reasons.append(f"the offline score is not between {LOWEST:g} and {HIGHEST:g}")
        if self.cql is not None and self.behaviour_cloning is not None and self.cql < self.behaviour_cloning:
            reasons.append("behaviour cloning is better than CQL")
        if max(self.gain, -self.loss) < SMALLEST_CHANGE:
            reasons.append(f"no arm changes by {SMALLEST_CHANGE:g} online")
        return tuple(reasons)

    @property
    def passes(self) -> bool:
        """Whether the task passes."""
        return not self.reasons


def gates(per_run: pd.DataFrame) -> list[Gate]:
    """The gate of every task; `per_run` is the frame of `results.frame.per_run.per_run`."""
    of_tasks = []
    for task, rows in per_run.groupby("task", sort=False):
        offline = rows.groupby("arm")["baseline_score"].mean()
        changes = rows.groupby("arm")["online_change"].mean().dropna()
        if changes.empty:
            continue
        scores = {name: (float(offline[arm]) if arm in offline else None) for name, arm in _SCORES.items()}
        gaining, losing = str(changes.idxmax()), str(changes.idxmin())
        gain, loss = float(changes[gaining]), float(changes[losing])
        of_tasks.append(Gate(str(task), **scores, gain=gain, gaining=gaining, loss=loss, losing=losing))
    return of_tasks


def gate_table(gates: Sequence[Gate]) -> Table:
    """One row per task. Numbers: the fields of `Gate`, passes, reasons."""
    numbers = [{**asdict(gate), "passes": gate.passes, "reasons": "; ".join(gate.reasons)} for gate in gates]
    text = [
        {
            "Task": gate.task,
            "CQL": number(gate.cql, 2),
            "Cal-QL": number(gate.cal_ql, 2),
            "Cloning": number(gate.behaviour_cloning, 2),
            "Largest gain": f"{number(gate.gain, 2, sign=True)} ({label(gate.gaining)})",
            "Largest loss": f"{number(gate.loss, 2, sign=True)} ({label(gate.losing)})",
            "Passes": "yes" if gate.passes else f"no: {'; '.join(gate.reasons)}",
        }
        for gate in gates
    ]
    notes = (
        "Score at the end of the offline phase (mean of its last two evaluations), and the mean change online (mean of "
        "the online evaluations minus that score) of the arms that gain and lose most. A task passes if CQL and Cal-QL "
        f"score between {LOWEST:g} and {HIGHEST:g}, CQL at least as much as behaviour cloning, and some arm gains or "
        f"loses at least {SMALLEST_CHANGE:g} online. A task that does not pass cannot tell the arms apart.",
    )
    return Table("task_gate", "What the tasks can tell", pd.DataFrame(numbers), pd.DataFrame(text), notes)
