"""The settings of the update: every option of CQL and Cal-QL with its range, default and source.

The defaults are those of the official Cal-QL scripts for AntMaze unless a comment says otherwise. Settings marked
"per run" may differ between the runs of a pack; all others must be equal.
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
Estimator = Literal["regression", "out_of_fold", "td", "expectile", "quantile", "ensemble", "success_only"]
LagrangeMultiplier = Literal["exponential", "softplus"]
PolicyValue = Literal["minimum", "mean"]
LayerNorm = Literal["none", "critics", "all"]
Precision = Literal["float32", "tf32", "bfloat16"]
InflationKind = Literal[
    "additive", "capped", "value_gap", "multiplicative", "rare_states", "near_goal", "correlated_error",
]  # fmt: skip


# The bases of a floor (algorithms/floors.py); extensions add others.
FLOOR_BASES = ("none", "monte_carlo", "learned", "exact", "constant", "mean_return", "optimal")


@dataclass(frozen=True, config=CONFIG)
class FloorSettings:
    """The floor: a base plus inflation plus noise. All settings but `keeps_learning` and `action_noise` are per run."""

    # Base: "none" is CQL (minus infinity), "monte_carlo" the return-to-go of the transition (Cal-QL), "learned" a value
    # network of the behaviour policy, "exact" its true value where known, "optimal" that of the best policy, "constant"
    # a number, "mean_return" the mean return-to-go of the dataset.
    base: str = "monte_carlo"
    # Value of the base "constant", in units of the mapped return.
    constant: float = 0.0
    # Added to the base, in units of the dataset's return range (largest minus smallest return-to-go).
    inflation: float = 0.0
    # How it is added: "additive" to every state; "capped" likewise, but not above the dataset's largest return-to-go;
    # "value_gap" in units of V* - V_mu at the state instead, where both are known, with the same cap;
    # "multiplicative" in proportion to the base minus the smallest return-to-go; "rare_states" only where the dataset
    # is sparse; "near_goal" only where the return-to-go is large; "correlated_error" as a seeded error per transition
    # of mean 0 with the inflation as its standard deviation.
    inflation_kind: InflationKind = "additive"
    # Share of the dataset that the kinds "rare_states" and "near_goal" inflate.
    inflation_share: Share = 0.25
    # Correlation of the error with the base, for the kind "correlated_error".
    error_correlation: Annotated[float, Field(ge=-1, le=1)] = 0.0
    # Standard deviation of the seeded noise per transition, in units of the dataset's return range.
    noise: NonNegative = 0.0
    # Return-to-go of a trajectory without a terminal step: "failure_rule" (official: a trajectory with only failure
    # rewards fails forever, any other is summed to its end), "last_reward_rule" (CORL: a trajectory that ends with a
    # failure reward fails forever), "suffix_rule" (d3rlpy: steps followed only by failure rewards fail forever), "sum"
    # (naive truncation), "bootstrap".
    truncation: Truncation = "failure_rule"
    # Value of the last state, for truncation "bootstrap".
    bootstrap_value: float = 0.0
    # Action noise of the policy of a stale floor: that of an older, worse (more noise) or better (less) policy than the
    # one that collected the dataset. The base "exact" is its true value, "learned" is fitted to data that it collects;
    # the other bases have none. None: the policy that collected the dataset. The same for all runs of a pack.
    action_noise: NonNegative | None = None
    # Whether the learned base keeps learning online, by a step of regression on the returns-to-go of every batch;
    # otherwise it is frozen after the fit to the dataset.
    keeps_learning: bool = False
    # Whether the floor is used in the online phase (official: yes; CORL: no).
    active_online: bool = True


@dataclass(frozen=True, config=CONFIG)
class BehaviourValueSettings:
    """The fit of the learned floor: a value network of the behaviour policy, fitted to returns-to-go."""

    # Estimator of the value: "regression" on returns-to-go; "out_of_fold", in which no transition is valued by a
    # network fitted to its trajectory; "td", temporal differences TD(lambda) of the behaviour policy; "expectile" and
    # "quantile" regression; "ensemble", a mean or lower confidence bound; "success_only", regression on successful
    # trajectories.
    estimator: Estimator = "regression"
    # Share of the trajectories that the fit may use, at least two of them.
    trajectories: Annotated[float, Field(gt=0, le=1)] = 1.0
    # Folds of the estimator "out_of_fold".
    folds: Annotated[int, Field(ge=2)] = 5
    # Lambda of the estimator "td": 0 is TD(0), 1 is regression on returns-to-go.
    td_lambda: Share = 0.0
    # Level of the estimators "expectile" and "quantile"; 0.5 is the mean and the median.
    level: Annotated[float, Field(gt=0, lt=1)] = 0.5
    # Networks of the estimator "ensemble", and how many of their standard deviations are subtracted from their mean.
    members: Annotated[int, Field(ge=2)] = 5
    deviations: NonNegative = 0.0
    # Widths of the hidden layers.
    hidden: Layers = (64, 64)
    # Learning rate of Adam.
    learning_rate: Positive = 1e-3
    # Transitions per gradient step.
    batch_size: Count = 256
    # Share of trajectories held out to measure the error and to stop early.
    held_out: Annotated[float, Field(gt=0, lt=1)] = 0.2
    # Gradient steps between evaluations of the held-out error.
    check_interval: Count = 100
    # Evaluations without improvement after which the fit stops.
    patience: Count = 5
    # Maximum number of gradient steps.
    max_steps: Count = 3000

    @property
    def networks(self) -> int:
        """Number of networks per run."""
        return {"out_of_fold": self.folds, "ensemble": self.members}.get(self.estimator, 1)


@dataclass(frozen=True, config=CONFIG)
class AlgorithmSettings:
    """The CQL / Cal-QL update."""

    # Widths of the policy's hidden layers.
    policy_hidden: Layers = (256, 256)
    # Widths of each critic's hidden layers.
    critic_hidden: Layers = (256, 256, 256, 256)
    # Critics per run (REDQ, RLPD, WSRL: 10).
    critics: Count = 2
    # Random critics, drawn for every update, of whose target values the Bellman target takes the minimum; none: all
    # critics (REDQ, RLPD, WSRL: 2).
    target_critics: Count | None = None
    # Whether they are drawn with replacement (WSRL) or are distinct (REDQ, RLPD).
    target_replacement: bool = False
    # The value that the policy maximises: the minimum over critics (SAC, official, WSRL) or their mean (REDQ, RLPD).
    policy_value: PolicyValue = "minimum"
    # Networks with layer normalisation between the linear map and the ReLU of every hidden layer (RLPD: critics; WSRL:
    # all).
    layer_norm: LayerNorm = "none"
    # Gain of the orthogonal initialisation of the output layers (official: 1e-2; CORL: sqrt 2). Per run.
    output_gain: Positive = 1e-2
    # Transitions per update.
    batch_size: Count = 256
    # Sampled actions of each kind (uniform, pi(.|s), pi(.|s')) in the push-down, and candidates of the max backup.
    n_actions: Count = 10
    # Weight of the regulariser. Per run.
    alpha: NonNegative = 5.0
    # Push-down: soft maximum (logsumexp), or expectation over pi(.|s) (Cal-QL Eq. 5.1).
    form: Literal["soft_maximum", "expectation"] = "soft_maximum"
    # Whether the soft maximum subtracts log-densities; if not, the data action joins the logsumexp.
    importance_sampling: bool = True
    # What the floor bounds: the value of every sampled policy action (official code), or only their mean over pi(.|s):
    # if it is below the floor, the state gets no push-down (calibration as Cal-QL defines it).
    floor_masking: Literal["per_action", "expectation"] = "per_action"
    # Whether the floor also applies to the uniform actions (official: no; tianshou: yes).
    floor_uniform: bool = False
    # Whether the floor bounds the value minus its log-density, in a soft maximum with importance sampling (tianshou),
    # or the value itself (all others).
    floor_after_density: bool = False
    # Temperature of the soft maximum (divides inside, multiplies outside the logsumexp). Per run.
    temperature: Positive = 1.0
    # Range to which push-down minus push-up is clipped, per transition; none: unbounded (CORL: minimum -200). Per run.
    difference_min: float | None = None
    difference_max: float | None = None
    # Tune the weight such that push-down minus push-up stays at the target action gap (official AntMaze script: on).
    lagrange: bool = False
    # Target action gap of the Lagrange form. Per run.
    target_action_gap: float = 0.8
    # What alpha scales in the Lagrange form, in addition to the multiplier: difference and gap (official), only the
    # difference (tianshou), or nothing (WSRL).
    lagrange_alpha: LagrangeAlpha = "difference_and_gap"
    # Parametrisation of the multiplier: its logarithm (official) or its inverse softplus (WSRL) is learned.
    lagrange_multiplier: LagrangeMultiplier = "exponential"
    # Logarithm of the initial Lagrange multiplier (WSRL, d3rlpy: 0). Per run.
    lagrange_initial_log: float = 1.0
    # Backup: one sampled action ("off"), the mode ("mean_action", d3rlpy), the maximum over n_actions of the minimum
    # over critics ("min_then_max", official), or the minimum over critics of each critic's maximum ("max_then_min", the
    # CQL authors' code).
    max_backup: MaxBackup = "min_then_max"
    # Whether the target includes the policy's entropy (soft backup).
    backup_entropy: bool = False
    # Learning rates of Adam. Per run.
    policy_learning_rate: Positive = 1e-4
    critic_learning_rate: Positive = 3e-4
    # Entropy temperature: initial value and learning rate (official: that of the policy). Per run.
    entropy_temperature_initial: Positive = 1.0
    entropy_learning_rate: NonNegative = 1e-4
    # Target entropy of the temperature; none: minus the number of action dimensions. Per run.
    target_entropy: float | None = None
    # Rate of the Polyak update of the target critics. Per run.
    tau: Share = 0.005
    # Policy objective: value and entropy (SAC), or behaviour cloning (squared error of the mode, as in d3rlpy).
    policy_objective: Literal["value", "cloning"] = "value"
    # What computes an update: "fused" (C++, needs a compiler), "torch", "cuda" (torch on a GPU, as one CUDA graph),
    # "cuda_compiled" (the same with torch.compile) or "triton" (the same as "cuda" with the critics' gradient in
    # Triton). Results differ in the last digits.
    kernel: Literal["fused", "torch", "cuda", "cuda_compiled", "triton"] = "fused"
    # Factors of matrix products on a GPU, whose sums are float32 like the parameters: "float32", rounded to "tf32", or
    # to "bfloat16" (only in the critics' gradient of the kernel "triton", the rest is float32).
    precision: Precision = "float32"

    @property
    def on_gpu(self) -> bool:
        """Whether updates are computed on a GPU."""
        return self.kernel in ("cuda", "cuda_compiled", "triton")
