"""The inputs of one update: transitions and random numbers for a pack of runs."""

from dataclasses import dataclass

from torch import Tensor

from algorithms.settings import AlgorithmSettings


@dataclass(frozen=True)
class Batch:
    """B transitions of each of R runs."""

    states: Tensor  # [R, B, S]
    actions: Tensor  # [R, B, A]
    rewards: Tensor  # [R, B]
    next_states: Tensor  # [R, B, S]
    terminals: Tensor  # [R, B] 1 if the episode terminated with this transition
    return_to_go: Tensor  # [R, B]
    floor: Tensor  # [R, B] minus infinity: no floor

    @classmethod
    def of_rows(cls, rows: Tensor, floor: Tensor, return_to_go: Tensor, dims: tuple[int, int]) -> "Batch":
        """Views of rows [R, B, W] of state, action, reward, next state and terminal; `dims` of states and actions."""
        states, actions, rewards, following, terminals = rows.split((*dims, 1, dims[0], 1), -1)
        return cls(states, actions, rewards.squeeze(-1), following, terminals.squeeze(-1), return_to_go, floor)


@dataclass(frozen=True)
class Noise:
    """The random numbers of one update."""

    uniform: Tensor  # [R, B, n, A] uniform on [-1, 1]: the uniform actions
    state: Tensor  # [R, B, 1 + n, A] standard normal, for pi(.|s): policy loss first, then push-down
    following: Tensor  # [R, B, n + m, A] for pi(.|s'): push-down first, then target; m = n with a max backup, else 1
    target_critics: Tensor  # [R, k] int64: the critics of a run that give the target; all of them without a subset


def backup_actions(settings: AlgorithmSettings) -> int:
    """Number m of policy actions at s' for the target."""
    return 1 if settings.max_backup in ("off", "mean_action") else settings.n_actions


def noise_at_next(noise: Noise, settings: AlgorithmSettings) -> Tensor:
    """The noise for pi(.|s'); with backup "mean_action", zero for the last action, which makes it the mode."""
    if settings.max_backup != "mean_action":
        return noise.following
    following = noise.following.clone()
    following[:, :, -1].zero_()
    return following
