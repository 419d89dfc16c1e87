"""Shapes and options of the update that all sides compute. Standard library only."""

from dataclasses import dataclass

from tests.benchmarks.arithmetic import update_operations

# Batches of a run, drawn in advance and used in turn. Training repeats none, and with a single one, more and more of
# Adam's moments decay into subnormal numbers.
BATCHES = 16


@dataclass(frozen=True)
class Size:
    """One update of Cal-QL with two critics, importance sampling and a Monte Carlo floor."""

    state_dim: int
    action_dim: int
    # Widths of the hidden layers of the policy and of each critic.
    hidden: tuple[int, ...]
    batch_size: int
    # Actions of each kind in the push-down, and candidates of the max backup.
    n_actions: int
    # Backup: maximum over n_actions of the minimum over critics, or one action.
    max_backup: bool
    # Tuned weight of the regulariser (Lagrange form).
    lagrange: bool

    def update_operations(self) -> int:
        """Floating-point operations that an update needs."""
        backup = self.n_actions if self.max_backup else 1
        sizes = self.state_dim, self.action_dim, self.hidden, self.batch_size, self.n_actions, backup
        return sum(update_operations(*sizes).values())


SIZES = {
    # Tasks and settings of the demo.
    "demo": Size(6, 2, (64, 64), 64, 4, max_backup=False, lagrange=False),
    # Observations and actions of AntMaze and settings of the official script, but with two hidden layers.
    "reference": Size(29, 8, (256, 256), 256, 10, max_backup=True, lagrange=True),
}

# With the critics' depth of the official script; for GPUs.
DEEP = Size(29, 8, (256, 256, 256, 256), 256, 10, max_backup=True, lagrange=True)
