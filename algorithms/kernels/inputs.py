"""What kernels compute gradients from. R runs, C critics each, B transitions, n actions of each kind."""

from dataclasses import dataclass

from torch import Tensor

from algorithms.critic_loss import CriticLossForm, CriticLossScalars
from algorithms.parameters import Parameters
from algorithms.settings import PolicyValue, Precision
from algorithms.value_network import ValueNetwork


@dataclass(frozen=True)
class CriticInputs:
    """Inputs of the critics' gradient."""

    states: Tensor  # [R, B, S]
    actions: Tensor  # [R, B, 1 + 3n, A]: of the data, uniform, of pi(.|s), of pi(.|s')
    target: Tensor  # [R, B] Bellman target
    log_density: Tensor  # [R, B, 3n] of the sampled actions
    floor: Tensor  # [R, B] minus infinity: no floor
    form: CriticLossForm
    scalars: CriticLossScalars
    precision: Precision = "float32"


@dataclass(frozen=True)
class PolicyInputs:
    """Inputs of the policies' gradient."""

    states: Tensor  # [R, B, S]
    noise: Tensor  # [R, B, A] standard normal
    entropy_temperature: Tensor  # [R]
    critic: ValueNetwork
    critic_parameters: Parameters  # of R * C critics
    value: PolicyValue = "minimum"  # over critics
