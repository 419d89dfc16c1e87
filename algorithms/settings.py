"""The settings of the update: every knob of CQL and Cal-QL, its range, its default and where it comes from.

The defaults are those of the official Cal-QL scripts for AntMaze unless a comment says otherwise. A field marked
"per run" may differ between the runs of one pack; all others decide the shape of the computation.
"""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

CONFIG = ConfigDict(extra="forbid", allow_inf_nan=False)

Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Layers = Annotated[tuple[Count, ...], Field(min_length=1)]

Truncation = Literal["failure_rule", "last_reward_rule", "suffix_rule", "sum", "bootstrap"]
MaxBackup = Literal["off", "mean_action", "min_then_max", "max_then_min"]
LagrangeAlpha = Literal["difference_and_gap", "difference", "nothing"]
LagrangeMultiplier = Literal["exponential", "softplus"]


@dataclass(frozen=True, config=CONFIG)
class FloorSettings:
    """The floor column: a base, shifted by a dose of inflation and by noise. All fields are per run."""

    # Which column: "none" is CQL (minus infinity), "monte_carlo" the transition's own return-to-go (Cal-QL),
    # "learned" a neural value of the behaviour policy, "exact" its true value where it is known, "constant" one number,
    # "mean_return" the mean return-to-go of the dataset.
    base: str = "monte_carlo"
    # The number of the base "constant", in units of the mapped return.
    constant: float = 0.0
    # Added to the base, in units of the dataset's return range (largest minus smallest return-to-go): the dose.
    inflation: float = 0.0
    # Standard deviation of the seeded per-transition noise, in units of the dataset's return range.
    noise: NonNegative = 0.0
    # How a trajectory that did not end at a terminal is continued: "failure_rule" (official: a trajectory of failure
    # rewards alone goes on for ever, any other is summed to its end), "last_reward_rule" (CORL: a trajectory whose last
    # reward is that of failure does), "suffix_rule" (d3rlpy: each step that is followed by failure rewards alone does),
    # "sum" (the naive rule), "bootstrap".
    truncation: Truncation = "failure_rule"
    # Value of the state after the cut, for truncation "bootstrap".
    bootstrap_value: float = 0.0
    # Whether the learned base goes on learning from online episodes; otherwise it is frozen after its fit.
    keeps_learning: bool = False
    # Whether the floor stays on in the online phase (official: yes; CORL: no).
    active_online: bool = True


@dataclass(frozen=True, config=CONFIG)
class BehaviourValueSettings:
    """The fit of the learned floor: a value network of the behaviour policy, regressed on return-to-go."""

    # Widths of the hidden layers.
    hidden: Layers = (64, 64)
    # Adam step size.
    learning_rate: Positive = 1e-3
    # Transitions per step.
    batch_size: Count = 256
    # Share of the trajectories kept out of the fit to measure the error and to stop early.
    held_out: Annotated[float, Field(gt=0, lt=1)] = 0.2
    # Gradient steps between two measurements of the held-out error.
    check_interval: Count = 100
    # Measurements without improvement after which the fit stops.
    patience: Count = 5
    # Gradient steps at most.
    max_steps: Count = 3000


@dataclass(frozen=True, config=CONFIG)
class AlgorithmSettings:
    """One CQL / Cal-QL update."""

    # Widths of the policy's hidden layers.
    policy_hidden: Layers = (256, 256)
    # Widths of each critic's hidden layers.
    critic_hidden: Layers = (256, 256, 256, 256)
    # Gain of the orthogonal initialisation of the output layers (official: 1e-2; CORL: sqrt 2). Per run.
    output_gain: Positive = 1e-2
    # Transitions per update.
    batch_size: Count = 256
    # Actions of each kind (uniform, pi(.|s), pi(.|s')) in the push-down, and candidates of the max backup.
    n_actions: Count = 10
    # Weight of the regulariser. Per run.
    alpha: NonNegative = 5.0
    # Push-down: the soft maximum (logsumexp) or the plain expectation over pi(.|s) (Cal-QL, Eq. 5.1).
    form: Literal["soft_maximum", "expectation"] = "soft_maximum"
    # Soft maximum with the sampling densities divided out; without, the data action joins the sum.
    importance_sampling: bool = True
    # What the floor bounds: the value of each sampled action of the policy (official code), or only their mean over
    # pi(.|s), below which the whole push-down of the state rests (calibration as Cal-QL defines it).
    floor_masking: Literal["per_action", "expectation"] = "per_action"
    # Whether the uniform actions have the floor as well (official: no; tianshou: yes).
    floor_uniform: bool = False
    # Whether it is the value less its log-density that the floor bounds, in a soft maximum with importance sampling
    # (tianshou); otherwise the value itself (all others).
    floor_after_density: bool = False
    # Temperature of the soft maximum (divides inside, multiplies outside). Per run.
    temperature: Positive = 1.0
    # Range to which push-down minus push-up is clipped, per transition; none: unbounded (CORL: -200). Per run.
    difference_min: float | None = None
    difference_max: float | None = None
    # Tune the weight so that push-down minus push-up stays at the target action gap (official AntMaze script: on).
    lagrange: bool = False
    # Gap of the Lagrange form. Per run.
    target_action_gap: float = 0.8
    # What alpha weighs in the Lagrange form, beside the multiplier: difference and gap (official), the difference alone
    # (tianshou), or nothing (WSRL).
    lagrange_alpha: LagrangeAlpha = "difference_and_gap"
    # What makes the multiplier positive: its logarithm is learned (official), or its inverse softplus (WSRL).
    lagrange_multiplier: LagrangeMultiplier = "exponential"
    # Logarithm of the initial Lagrange multiplier (WSRL, d3rlpy: 0). Per run.
    lagrange_initial_log: float = 1.0
    # Backup: one sampled action ("off"), the policy's deterministic one ("mean_action", d3rlpy), the best of n_actions
    # by the smaller critic ("min_then_max", official), or the smaller of each critic's own best ("max_then_min", the
    # CQL author's code).
    max_backup: MaxBackup = "min_then_max"
    # Subtract the policy's entropy cost from the target (soft backup).
    backup_entropy: bool = False
    # Adam step sizes. Per run.
    policy_learning_rate: Positive = 1e-4
    critic_learning_rate: Positive = 3e-4
    # Entropy temperature: initial value and Adam step size (official: the policy's). Per run.
    entropy_temperature_initial: Positive = 1.0
    entropy_learning_rate: NonNegative = 1e-4
    # Entropy that the temperature steers to; none: minus the number of action dimensions. Per run.
    target_entropy: float | None = None
    # Step of the target critics towards the critics. Per run.
    tau: Share = 0.005
    # What the policy learns: actions of high value and entropy (SAC), or the data's actions (behaviour cloning: squared
    # error of the deterministic action, as in d3rlpy).
    policy_objective: Literal["value", "cloning"] = "value"
    # What computes an update: "fused" (C++, needs a compiler), "torch", "cuda" (torch on a card, as one CUDA graph) or
    # "cuda_compiled" (the same through torch.compile). Their numbers differ in the last digits.
    kernel: Literal["fused", "torch", "cuda", "cuda_compiled"] = "fused"

    @property
    def on_card(self) -> bool:
        """Whether a card computes."""
        return self.kernel in ("cuda", "cuda_compiled")
