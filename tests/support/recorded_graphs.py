"""CUDA graphs emulated on the CPU: tensor operations are recorded once with their memory and replayed without Python.

What a recording on a GPU does not permit is an error here too: reading a value on the host, results whose shape depends
on values, and tensors made from numbers of the host. So the GPU path is tested without a GPU, but not its numbers
there, its memory or its speed.
"""

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from algorithms import captured_update
from algorithms.kernels import gpu
from harness.training import training

# Operations that read values on the host, have results whose shape depends on values, or take numbers of the host.
FORBIDDEN = (
    "_local_scalar_dense", "_unique", "_unique2", "bincount", "equal", "is_nonzero", "item", "lift_fresh",
    "masked_select", "nonzero", "unique_consecutive", "unique_dim",
)  # fmt: skip

# Methods that read values on the host without an operation.
READING = ("numpy", "tolist", "__array__")

# Operations that start no work on a GPU, in addition to views.
WITHOUT_WORK = ("_reshape_alias", "_unsafe_view", "detach", "empty", "empty_like", "empty_strided", "new_empty")


@dataclass
class RecordedGraph:
    """The calls of a recording: function, arguments, keyword arguments and result."""

    calls: list[tuple[Any, Sequence[Any], dict[str, Any], Any]] = field(default_factory=list, repr=False)
    replays: int = 0

    def replay(self) -> None:
        """Repeat the calls in order, with their results in the memory of the recording."""
        self.replays += 1
        for function, arguments, named, result in self.calls:
            again = function(*arguments, **named)
            for old, new in zip(_results(result), _results(again), strict=True):
                if isinstance(old, Tensor) and old.data_ptr() != new.data_ptr():
                    old.copy_(new)

    @property
    def work(self) -> list[tuple[Any, Sequence[Any], dict[str, Any], Any]]:
        """The calls that start work on a GPU: neither views nor memory that is only reserved."""
        return [call for call in self.calls if not call[0].is_view and _name(call[0]) not in WITHOUT_WORK]

    @property
    def bytes_moved(self) -> int:
        """Bytes of the tensors that the operations read and write, without what stays in a cache."""
        return sum(
            leaf.numel() * leaf.element_size()
            for _, arguments, named, result in self.work
            for leaf in tree_leaves((arguments, named, result))
            if isinstance(leaf, Tensor)
        )


class _Recorder(TorchDispatchMode):
    def __init__(self, graph: RecordedGraph):
        super().__init__()
        self.graph = graph

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        if _name(function) in FORBIDDEN:
            raise RuntimeError(f"operation not permitted when stream is capturing: {function}")
        result = function(*arguments, **(keywords or {}))
        self.graph.calls.append((function, arguments, keywords or {}, result))
        return result


def recording(compute: Callable[..., None], inputs: Sequence[Any]) -> RecordedGraph:
    """Warm up, then record what `compute` does with these inputs, as `captured_update.recorded` does on a GPU."""
    captured_update.warm_up(compute, inputs)
    graph = RecordedGraph()

    def refused(*arguments: Any, **named: Any) -> None:
        raise RuntimeError("operation not permitted when stream is capturing: a value is read on the host")

    with pytest.MonkeyPatch.context() as patch, captured_update.without_collection(), _Recorder(graph):
        for name in READING:
            patch.setattr(Tensor, name, refused)
        compute(*inputs)
    return graph


@contextmanager
def emulated_gpu() -> Iterator[list[RecordedGraph]]:
    """Let the GPU kernels compute on the CPU, with emulated graphs; yields the graphs that are recorded.

    Only what is made meanwhile is collected before a recording, because the heap of many tests takes long.
    """
    graphs: list[RecordedGraph] = []

    def recorded(compute: Callable[..., None], inputs: Sequence[Any]) -> RecordedGraph:
        graphs.append(recording(compute, inputs))
        return graphs[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gpu, "DEVICE", "cpu")
        patch.setattr(gpu, "obstacle", lambda: None)
        patch.setattr(captured_update, "recorded", recorded)
        patch.setattr(captured_update, "WARM_UP", 1)
        patch.setattr(training, "reserve_gpu", lambda runs: None)
        gc.freeze()
        try:
            yield graphs
        finally:
            gc.unfreeze()


def _results(result: Any) -> Sequence[Any]:
    return (result,) if isinstance(result, Tensor) else tree_leaves(result)


def _name(function: Any) -> str:
    return function._schema.name.removeprefix("aten::")
