"""Names of GPUs: which of them mean the same model, and which part of a GPU a MIG slice is. Imports no torch."""

import re

# Words in names of GPUs that do not tell models apart.
BRANDS = ("nvidia", "tesla", "geforce", "quadro", "gpu")

# Compute slices of a GPU that is divided by MIG; four for those whose slices have these names (A30, RTX PRO 6000).
PARTS, FEWER_PARTS = 7, 4
OF_FEWER_PARTS = ("1g.6gb", "2g.12gb", "4g.24gb", "1g.24gb", "2g.48gb", "4g.96gb")

# Share of the memory, and of its bandwidth, of a slice with so many of seven compute slices:
# https://docs.nvidia.com/datacenter/tesla/mig-user-guide/supported-mig-profiles.html. Profiles with twice the memory
# (1g.20gb of 80 GB) are not told from the others.
MEMORY_SHARES = {1: 1 / 8, 2: 2 / 8, 3: 4 / 8, 4: 4 / 8, 7: 1.0}


def is_of(model: str, name: str) -> bool:
    """Whether a GPU with torch's name is of a model as a cluster names it: "NVIDIA A100-SXM4-80GB" of "a100".

    Every word of the model has to occur ("a10" is no A100), and a part of a GPU (MIG) is not the whole.
    """
    wanted, present = words(model), words(name)
    adjacent = {"".join(present[i:j]) for i in range(len(present)) for j in range(i + 1, len(present) + 1)}
    return bool(wanted) and adjacent.issuperset(wanted) and slice_of(model) == slice_of(name)


def words(name: str) -> list[str]:
    """The words of a name that tell models apart, in lower case."""
    return [word for word in re.findall(r"[a-z0-9.]+", name.lower()) if word not in BRANDS]


def slice_of(name: str) -> str | None:
    """The MIG slice that a name means ("1g.5gb"), or None for a whole GPU."""
    match = re.search(r"(?<![a-z0-9])\d+g\.\d+gb(?![a-z0-9])", name.lower())
    return match and match[0]


def compute_share(name: str) -> float:
    """The part of a GPU's multiprocessors that a GPU of this name has: 1, or less for a MIG slice."""
    if (part := slice_of(name)) is None:
        return 1.0
    return int(part.split("g")[0]) / (FEWER_PARTS if part in OF_FEWER_PARTS else PARTS)


def memory_share(name: str) -> float:
    """The part of a GPU's memory bandwidth that a GPU of this name has: 1, or less for a MIG slice."""
    part = slice_of(name)
    if part is None or part in OF_FEWER_PARTS:
        return compute_share(name)
    count = int(part.split("g")[0])
    return MEMORY_SHARES.get(count, count / PARTS)
