"""A computation on fixed copies of its inputs; on a GPU recorded once and replayed as one CUDA graph."""

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import Tensor

from algorithms.kernels import gpu

# Shapes of packs for which one process compiles updates: packs are re-formed as their runs end.
COMPILED_SHAPES = 64

# Calls before the recording, in which libraries allocate memory and select algorithms.
WARM_UP = 3


class CapturedUpdate:
    """Computes on the same tensors every time; each call first copies its inputs into them.

    What is computed takes dataclasses of tensors and changes the tensors of `state`, and nothing else that outlives the
    call. No Python number that it uses may change between calls. On the CPU it is called directly. On a GPU it is
    recorded as torch's notes on CUDA graphs describe: on a side stream, after warm-up calls whose effect on `state` is
    undone. It is an argument of every call and not kept, so that an owner of both is freed by reference counts, and its
    GPU memory with it.
    """

    def __init__(self, state: Sequence[Tensor]):
        self._state = list(state)
        self._inputs: list[Any] | None = None
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, compute: Callable[..., None], *inputs: Any) -> None:
        """Do what `compute` does with these inputs; both must have the same shapes and the same effect every time."""
        if self._inputs is None:
            self._inputs = self._prepare(compute, inputs)
        for fixed, given in zip(self._inputs, inputs, strict=True):
            for name, tensor in vars(fixed).items():
                tensor.copy_(getattr(given, name), non_blocking=True)
        if self._graph is None:
            compute(*self._inputs)
        else:
            self._graph.replay()

    def _prepare(self, compute: Callable[..., None], inputs: Sequence[Any]) -> list[Any]:
        device = self._state[0].device
        copies = [_copy(given, device) for given in inputs]
        before = [tensor.clone() for tensor in self._state]
        if device.type == gpu.DEVICE:
            self._graph = recorded(compute, copies)
        else:
            warm_up(compute, copies)
        for tensor, saved in zip(self._state, before, strict=True):
            tensor.copy_(saved)
        return copies


def recorded(compute: Callable[..., None], inputs: Sequence[Any]) -> torch.cuda.CUDAGraph:
    """The operations of `compute` with these inputs as a CUDA graph, which computes on the same memory every time."""
    stream, graph = torch.cuda.Stream(), torch.cuda.CUDAGraph()
    with without_collection():
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            warm_up(compute, inputs)
        torch.cuda.current_stream().wait_stream(stream)
        with torch.cuda.graph(graph, stream=stream):
            compute(*inputs)
    return graph


@cache
def compiled(compute: Callable[..., None], backend: str = "inductor") -> Callable[..., None]:
    """A computation compiled as one graph per shape, which is an error where it cannot be traced whole."""
    from torch._dynamo import config

    config.recompile_limit = max(config.recompile_limit, COMPILED_SHAPES)
    return torch.compile(compute, fullgraph=True, dynamic=False, backend=backend)


def warm_up(compute: Callable[..., None], inputs: Sequence[Any]) -> None:
    """Compute some times, so that libraries are ready for a recording."""
    for _ in range(WARM_UP):
        compute(*inputs)


@contextmanager
def without_collection() -> Iterator[None]:
    """Collect garbage before the block and none in it: freeing the memory of a GPU would invalidate a recording."""
    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _copy(values: Any, device: torch.device) -> Any:
    """A copy of a dataclass of tensors on a device."""
    return type(values)(**{
        name: torch.empty(tensor.shape, dtype=tensor.dtype, device=device).copy_(tensor)
        for name, tensor in vars(values).items()
    })  # fmt: skip
