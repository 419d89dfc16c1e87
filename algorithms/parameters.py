"""Parameters of many networks of one shape, in one flat buffer: what packing, Adam, targets and checkpoints rest on."""

from collections.abc import Callable, Mapping
from math import prod

import torch
from torch import Tensor

# Tensors start at multiples of this many elements, so that every network's matrices have the same alignment wherever
# it lies in the pack, and elementwise loops over the buffer have no ragged end: both keep the bits of a network
# independent of its company.
ALIGNMENT = 64

# Matrices are as wide as a multiple of this; what a network does not use stays zero. With other widths batched matrix
# products give a network other bits in a pack than alone: on CPU with one thread 8 to 10% of random odd sizes, none of
# 18,000 with widths rounded so; an output width of 1 is the worst.
WIDTH_STEP = 4


class Parameters:
    """N networks with equally named tensors: views [N, *shape] of `flat` [N, P], in which they begin at `offsets`."""

    def __init__(self, shapes: Mapping[str, tuple[int, ...]], flat: Tensor):
        self.shapes = dict(shapes)
        self.flat = flat
        self.tensors: dict[str, Tensor] = {}
        self.offsets: list[int] = []
        offset = 0
        for name, shape in self.shapes.items():
            piece = flat[:, offset : offset + prod(shape)]
            self.tensors[name] = piece.view(flat.shape[0], *shape)
            self.offsets.append(offset)
            offset += _padded(prod(shape))

    @classmethod
    def zeros(cls, shapes: Mapping[str, tuple[int, ...]], copies: int, dtype: torch.dtype, device: str) -> "Parameters":
        """N = `copies` networks of zeros."""
        width = sum(_padded(prod(shape)) for shape in shapes.values())
        return cls(shapes, torch.zeros(copies, width, dtype=dtype, device=device))

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[name]

    def like(self) -> "Parameters":
        """Zeros of the same shapes, for gradients and moments."""
        return Parameters(self.shapes, torch.zeros_like(self.flat))

    def clone(self) -> "Parameters":
        return Parameters(self.shapes, self.flat.clone())

    def part(self, start: int, stop: int) -> "Parameters":
        """Networks `start` to `stop`, sharing memory."""
        return Parameters(self.shapes, self.flat[start:stop])


def padded_width(width: int) -> int:
    """The width that a matrix of that many used columns has."""
    return -(-width // WIDTH_STEP) * WIDTH_STEP


def _padded(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def fill(weight: Tensor, normal: Callable[..., Tensor], rows: int, columns: int, gain: float) -> None:
    """Make the used [rows, columns] of a weight orthogonal, drawn from a source of standard normal numbers."""
    weight[:rows, :columns] = orthogonal(normal(rows, columns), gain)


def orthogonal(normal: Tensor, gain: float) -> Tensor:
    """A matrix [rows, columns] with orthonormal rows or columns times `gain`, from standard normal numbers."""
    tall = normal if normal.shape[0] >= normal.shape[1] else normal.T
    q, r = torch.linalg.qr(tall.double())
    q = q * torch.sign(torch.diagonal(r))
    return (q if normal.shape[0] >= normal.shape[1] else q.T).to(normal.dtype) * gain
