"""An update for a GPU: three Triton kernels for the critics' gradient, one for a step of Adam, one for a Polyak update.

The rest are torch operations. A program takes 64 states of one critic through the network, the loss and back. No order
of summation depends on the pack. Triton is imported at the first use, because it is optional.
"""

from dataclasses import dataclass, fields
from importlib.util import find_spec
from math import prod
from typing import Any, Literal

from torch import Tensor

from algorithms.critic_loss import CriticLoss
from algorithms.kernels.inputs import CriticInputs
from algorithms.kernels.torch_kernel import bellman_target, policy_gradient, samples, values
from algorithms.optimizer import BETA_1, BETA_2, Adam
from algorithms.parameters import Parameters
from algorithms.settings import Precision
from algorithms.value_network import NORM_EPSILON, ValueNetwork

__all__ = ["adam_step", "bellman_target", "critic_gradient", "policy_gradient", "polyak_update", "samples", "values"]

# How Triton names the precisions of the settings: float32; operands rounded to TF32 or to bfloat16, sums in float32.
DotPrecision = Literal["ieee", "tf32", "bf16"]
DOT_PRECISIONS: dict[Precision, DotPrecision] = {"float32": "ieee", "tf32": "tf32", "bfloat16": "bf16"}

# States of one program, and approximate number of rows (states times actions) of a tile.
PART, TILE_ROWS = 64, 64

# Most columns of a hidden layer, and most dimensions of a state, that are multiplied at once. With more, the
# compiler for an H100 spills registers to memory (compiled, not run).
BLOCKS: dict[DotPrecision, int] = {"ieee": 16, "tf32": 64, "bf16": 32}

# Least size of a factor in a matrix product.
SMALLEST = 16

# Elements of one program of the kernels that sum the parts, make a step of Adam or update targets.
ELEMENTS = 1024


def obstacle() -> str | None:
    """Why the kernel cannot be compiled, or None; whether there is a GPU is another question (`gpu.obstacle`)."""
    if find_spec("triton") is None:
        return "Triton is not installed; install it with: pip install triton"
    return None


@dataclass(frozen=True)
class Plan:
    """Sizes of the kernels for one shape of critics and batch: constants of their compilation."""

    row: int
    work_size: int
    critics: int
    batch: int
    n: int
    state_dim: int
    action_dim: int
    action_rows: int
    widths: tuple[int, ...]
    normalised_widths: tuple[int, ...]
    epsilon: float
    offsets: tuple[int, ...]
    gaps: tuple[tuple[int, int], ...]
    chosen: tuple[bool, ...]
    part: int
    tile: int
    columns: int
    block: int
    state_block: int
    action_block: int
    stride: int
    precision: DotPrecision

    @classmethod
    def of(cls, network: ValueNetwork, parameters: Parameters, inputs: CriticInputs) -> "Plan":
        """The sizes for these inputs; nothing but `critics` is counted over runs."""
        from algorithms.kernels.triton_loss import Options

        runs, batch, state_dim = inputs.states.shape
        count, action_dim = inputs.actions.shape[2:]
        columns = _power_of_two(count)
        tile = max(1, TILE_ROWS // columns)
        widths = tuple(network.widths)
        precision = DOT_PRECISIONS[inputs.precision]
        most = BLOCKS[precision]
        block = min(most, max(SMALLEST, _power_of_two(max(widths))))
        stride = -(-max(widths) // block) * block
        row = parameters.flat.shape[1]
        sizes = [prod(shape) for shape in parameters.shapes.values()]
        ends = [offset + size for offset, size in zip(parameters.offsets, sizes, strict=True)]
        gaps = [gap for gap in zip(ends, [*parameters.offsets[1:], row], strict=True) if gap[0] < gap[1]]
        layers, rows = len(widths), tile * columns
        norms = layers * rows * (stride + 1) if network.layer_norm else 0
        return cls(
            row=row,
            work_size=(PART + (layers + 2) * rows) * stride + norms,
            critics=len(parameters.flat) // runs,
            batch=batch,
            n=(count - 1) // 3,
            state_dim=state_dim,
            action_dim=action_dim,
            action_rows=parameters.shapes["action_weight"][0],
            widths=widths,
            normalised_widths=tuple(network.hidden) if network.layer_norm else (),
            epsilon=NORM_EPSILON,
            offsets=tuple(parameters.offsets),
            gaps=tuple(gaps),
            chosen=tuple(Options.of(inputs.form)),
            part=PART,
            tile=tile,
            columns=columns,
            block=block,
            state_block=min(most, max(SMALLEST, _power_of_two(state_dim))),
            action_block=max(SMALLEST, _power_of_two(action_dim)),
            stride=stride,
            precision=precision,
        )

    @property
    def parts(self) -> int:
        """Number of parts of the batch."""
        return -(-self.batch // self.part)

    @property
    def launch(self) -> dict[str, Any]:
        """Options of the compilation of `critic_gradient_kernel`."""
        return {"num_warps": 8, "num_stages": 1 if self.precision == "ieee" else 2, "enable_fp_fusion": True}

    def constants(self) -> dict[str, Any]:
        """The constants of `critic_gradient_kernel`."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def critic_gradient(
    network: ValueNetwork,
    parameters: Parameters,
    inputs: CriticInputs,
    gradient: Parameters,
) -> CriticLoss:
    """See `Kernel`. Parameters, gradients and sums are float32 (or float64) for every precision."""
    if reason := obstacle():
        raise RuntimeError(reason)
    from algorithms.kernels.triton_critic import critic_gradient_kernel, sum_of_parts_kernel
    from algorithms.kernels.triton_loss import run_loss_kernel

    plan = Plan.of(network, parameters, inputs)
    scalars, flat = inputs.scalars, parameters.flat
    networks, runs, parts = len(flat), len(inputs.states), plan.parts
    work = flat.new_empty(networks, parts, plan.work_size)
    of_parts = flat.new_empty(networks, parts, plan.row)
    sums = flat.new_empty(networks, parts, 4)
    value_gradient = flat.new_empty(runs, plan.critics, plan.batch, 1 + 3 * plan.n)
    per_run = flat.new_empty(runs, 7)
    critic_gradient_kernel[(networks, parts)](
        flat,
        inputs.states.contiguous(),
        inputs.actions.contiguous(),
        inputs.target.contiguous(),
        inputs.log_density.contiguous(),
        inputs.floor.contiguous(),
        *(scalar.contiguous() for scalar in (scalars.alpha, scalars.temperature)),
        *(scalar.contiguous() for scalar in (scalars.difference_min, scalars.difference_max, scalars.raw_multiplier)),
        work,
        of_parts,
        value_gradient,
        sums,
        **plan.constants(),
        **plan.launch,
    )
    sum_of_parts_kernel[(networks, -(-plan.row // ELEMENTS))](of_parts, gradient.flat, parts, plan.row, ELEMENTS)
    run_loss_kernel[(runs,)](
        sums,
        scalars.alpha.contiguous(),
        scalars.target_action_gap.contiguous(),
        scalars.raw_multiplier.contiguous(),
        per_run,
        plan.critics,
        parts,
        plan.batch,
        plan.n,
        plan.chosen,
    )
    loss, *others = per_run.unbind(1)
    return CriticLoss(loss, value_gradient, *others)


def adam_step(adam: Adam, flat: Tensor, gradient: Tensor, learning_rate: Tensor) -> None:
    """See `Kernel`."""
    from algorithms.kernels.triton_optimizer import adam_kernel

    # Rows of learned scalars are views of every second row.
    assert flat.stride() == gradient.stride() == adam.first.stride() == adam.second.stride()
    (rows, size), strides = flat.shape, (flat.stride(0), learning_rate.stride(0))
    adam_kernel[(rows, -(-size // ELEMENTS))](
        flat,
        adam.first,
        adam.second,
        gradient,
        learning_rate,
        adam.count.corrections,
        *strides,
        size,
        BETA_1,
        BETA_2,
        ELEMENTS,
    )


def polyak_update(targets: Tensor, flat: Tensor, tau: Tensor) -> None:
    """See `Kernel`."""
    from algorithms.kernels.triton_optimizer import polyak_kernel

    rows, size = targets.shape
    polyak_kernel[(rows, -(-size // ELEMENTS))](targets, flat, tau, size, ELEMENTS)


def _power_of_two(size: int) -> int:
    return 1 << (size - 1).bit_length()
