"""The Bellman target."""

from torch import Tensor

from algorithms.settings import MaxBackup


def bellman_target(
    reward: Tensor,
    terminal: Tensor,
    discount: Tensor,
    next_values: Tensor,
    next_log_prob: Tensor,
    max_backup: MaxBackup,
    entropy_temperature: Tensor | None,
) -> Tensor:
    """`reward + (1 - terminal) * discount * value of s'`, [R, B].

    `next_values` [R, C, B, m] are the target critics at m actions of pi(.|s') and `next_log_prob` [R, B, m] their
    log-probabilities; m is 1 with `max_backup` "off" (a sample) and "mean_action" (the mode). "min_then_max" takes the
    smaller critic per action, then the best action (official code); "max_then_min" each critic's own best action, then
    the smaller critic (CQL author's code). With an `entropy_temperature` [R], that times the log-probability of the
    chosen action is subtracted.
    """
    if max_backup == "max_then_min":
        best, chosen = next_values.max(-1)
        value, critic = best.min(1)
        chosen = chosen.gather(1, critic.unsqueeze(1)).squeeze(1)
    else:
        value, chosen = next_values.amin(1).max(-1)
    if entropy_temperature is not None:
        log_prob = next_log_prob.gather(-1, chosen.unsqueeze(-1)).squeeze(-1)
        value = value - entropy_temperature[:, None] * log_prob
    return reward + (1.0 - terminal) * discount[:, None] * value
