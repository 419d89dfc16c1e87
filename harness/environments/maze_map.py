"""Maze maps as a person reads them, and as gymnasium-robotics takes them."""

from collections.abc import Sequence

from harness.errors import UserError

# Characters of a maze's rows and what gymnasium-robotics has in their place.
WALL, FREE = "#", "."
CELLS: dict[str, int | str] = {WALL: 1, FREE: 0, "r": "r", "g": "g"}


def maze_map(rows: Sequence[str]) -> list[list[int | str]]:
    """The map of some rows: walls all around, starts r and goals g."""
    if len({len(row) for row in rows}) != 1:
        raise UserError("task.maze: its rows must be equally long")
    rim = rows[0] + rows[-1] + "".join(row[0] + row[-1] for row in rows)
    if set(rim) != {WALL}:
        raise UserError(f"task.maze: cells at its rim are no walls ({WALL})")
    if not all(any(cell in row for row in rows) for cell in "rg"):
        raise UserError("task.maze: needs a start (r) and a goal (g)")
    return [[CELLS[cell] for cell in row] for row in rows]


def maze_rows(cells: Sequence[Sequence[int | str]]) -> tuple[str, ...]:
    """The rows of a map of gymnasium-robotics; a cell that may be start and goal is a c."""
    characters: dict[int | str, str] = {1: WALL, 0: FREE}
    return tuple("".join(characters.get(cell, str(cell)) for cell in row) for row in cells)


def walls(rows: Sequence[str]) -> tuple[str, ...]:
    """The rows with walls and free cells alone: what is there for a body to run into."""
    return tuple("".join(cell if cell == WALL else FREE for cell in row) for row in rows)
