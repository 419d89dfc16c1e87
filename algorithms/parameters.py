"""Parameters of many networks of one shape in one flat buffer: the basis of packs, Adam, targets and checkpoints."""

from collections.abc import Callable, Mapping
from math import prod

import torch
from torch import Tensor

# Tensors start at multiples of this many elements. A network's matrices then have the same alignment anywhere in the
# pack, and elementwise loops over the buffer have no remainder: both keep a network's bits independent of the pack.
ALIGNMENT = 64

# Matrix widths are rounded up to a multiple of this; unused elements stay zero. With other widths, batched matrix
# products can give a network other bits in a pack than alone: 8 to 10% of random odd sizes (CPU, one thread), most
# often at an output width of 1, but none of 18,000 sizes with rounded widths.
WIDTH_STEP = 4


class Parameters:
    """N networks with the same tensor names: views [N, *shape] of `flat` [N, P] that start at `offsets`."""

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
        """N = `copies` networks, all zeros."""
        width = sum(_padded(prod(shape)) for shape in shapes.values())
        return cls(shapes, torch.zeros(copies, width, dtype=dtype, device=device))

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[name]

    def like(self) -> "Parameters":
        """Zeros of the same shapes, for gradients or moments."""
        return Parameters(self.shapes, torch.zeros_like(self.flat))

    def clone(self) -> "Parameters":
        return Parameters(self.shapes, self.flat.clone())

    def part(self, start: int, stop: int) -> "Parameters":
        """Networks `start` to `stop` (exclusive), sharing memory."""
        return Parameters(self.shapes, self.flat[start:stop])


def padded_width(width: int) -> int:
    """The width in memory of a matrix with that many used columns."""
    return -(-width // WIDTH_STEP) * WIDTH_STEP


def _padded(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def fill(weight: Tensor, normal: Callable[..., Tensor], rows: int, columns: int, gain: float) -> None:
    """Initialise the used [rows, columns] of a weight with an orthogonal matrix from a standard normal source."""
    weight[:rows, :columns] = orthogonal(normal(rows, columns), gain)


def orthogonal(normal: Tensor, gain: float) -> Tensor:
    """A matrix [rows, columns] with orthonormal rows or columns, times `gain`, from standard normal numbers."""
    tall = normal if normal.shape[0] >= normal.shape[1] else normal.T
    q, r = torch.linalg.qr(tall.double())
    q = q * torch.sign(torch.diagonal(r))
    return (q if normal.shape[0] >= normal.shape[1] else q.T).to(normal.dtype) * gain
