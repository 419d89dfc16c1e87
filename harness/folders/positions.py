"""Which runs can go on together: by the positions of their checkpoints."""

from collections.abc import Mapping
from typing import Any


def grouped(positions: Mapping[str, set[Any]]) -> list[tuple[list[str], Any]]:
    """Names grouped so that each group shares a position, with the newest that it shares; no positions: None.

    A run that was killed while its pack saved stands one checkpoint behind the others and still goes with them.
    """

    def newest(name: str) -> tuple:
        return (1, max(positions[name])) if positions[name] else (0,)

    groups: list[tuple[list[str], set[Any]]] = []
    for name in sorted(positions, key=newest, reverse=True):
        own = positions[name]
        for names, shared in groups:
            if shared & own or not (shared or own):
                names.append(name)
                shared &= own
                break
        else:
            groups.append(([name], set(own)))
    order = list(positions)
    return [(sorted(names, key=order.index), max(shared, default=None)) for names, shared in groups]
