"""A computation on fixed copies of its inputs; on a GPU recorded once and replayed as one CUDA graph."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

# Calls before the recording, in which libraries allocate memory and select algorithms.
WARM_UP = 3


class CapturedUpdate:
    """Calls `compute` on the same tensors every time; each call first copies its inputs into them.

    `compute` takes dataclasses of tensors and changes the tensors of `state`, and nothing else that outlives the call.
    No Python number that it uses may change between calls. On the CPU it is called directly. On a GPU it is recorded as
    torch's notes on CUDA graphs describe: on a side stream, after warm-up calls whose effect on `state` is undone.
    """

    def __init__(self, compute: Callable[..., None], state: Sequence[Tensor]):
        self._compute, self._state = compute, list(state)
        self._inputs: list[Any] = []
        self._replay: Callable[[], None] = self._call

    def __call__(self, *inputs: Any) -> None:
        """Compute with these inputs, whose shapes must be the same in every call."""
        if not self._inputs:
            self._prepare(inputs)
        for fixed, given in zip(self._inputs, inputs, strict=True):
            for name, tensor in vars(fixed).items():
                tensor.copy_(getattr(given, name), non_blocking=True)
        self._replay()

    def _prepare(self, inputs: Sequence[Any]) -> None:
        device = self._state[0].device
        self._inputs = [_copy(given, device) for given in inputs]
        before = [tensor.clone() for tensor in self._state]
        if device.type == "cuda":
            self._replay = self._record()
        else:
            self._warm_up()
        for tensor, saved in zip(self._state, before, strict=True):
            tensor.copy_(saved)

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
        self._compute(*self._inputs)


def _copy(values: Any, device: torch.device) -> Any:
    """A copy of a dataclass of tensors on a device."""
    return type(values)(**{
        name: torch.empty(tensor.shape, dtype=tensor.dtype, device=device).copy_(tensor)
        for name, tensor in vars(values).items()
    })  # fmt: skip
