"""A computation on fixed copies of its inputs; on a card recorded as one CUDA graph, which starts its parts at once."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

# Computations before the recording, in which libraries allocate and choose what they will use.
WARM_UP = 3


class CapturedUpdate:
    """Calls `compute` with the same tensors at every time, into which the inputs of the call are copied.

    `compute` takes dataclasses of tensors, moves the tensors of `state` (whatever their device) and nothing else that
    lasts; no number of Python's that enters it may change from call to call. On the CPU it is called as it is. It is
    recorded as torch's notes on CUDA graphs say: on a stream of its own, after some calls there, which are undone.
    """

    def __init__(self, compute: Callable[..., None], state: Sequence[Tensor]):
        self._compute, self._state = compute, list(state)
        self._fixed: list[Any] = []
        self._play: Callable[[], None] = self._call

    def __call__(self, *inputs: Any) -> None:
        """Compute with these inputs, of the same shapes at every time."""
        if not self._fixed:
            self._prepare(inputs)
        for fixed, given in zip(self._fixed, inputs, strict=True):
            for name, tensor in vars(fixed).items():
                tensor.copy_(getattr(given, name), non_blocking=True)
        self._play()

    def _prepare(self, inputs: Sequence[Any]) -> None:
        device = self._state[0].device
        self._fixed = [_copy(given, device) for given in inputs]
        before = [tensor.clone() for tensor in self._state]
        if device.type == "cuda":
            self._play = self._record()
        else:
            self._warm_up()
        for tensor, kept in zip(self._state, before, strict=True):
            tensor.copy_(kept)

    def _record(self) -> Callable[[], None]:
        stream, graph = torch.cuda.Stream(), torch.cuda.CUDAGraph()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            self._warm_up()
        torch.cuda.current_stream().wait_stream(stream)
        with torch.cuda.graph(graph, stream=stream):
            self._call()
        return graph.replay

    def _warm_up(self) -> None:
        for _ in range(WARM_UP):
            self._call()

    def _call(self) -> None:
        self._compute(*self._fixed)


def _copy(values: Any, device: torch.device) -> Any:
    """Copies on a device of a dataclass's tensors."""
    return type(values)(**{
        name: torch.empty(tensor.shape, dtype=tensor.dtype, device=device).copy_(tensor)
        for name, tensor in vars(values).items()
    })  # fmt: skip
