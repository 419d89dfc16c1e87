"""Seats of drivers: several may work on one study, each trial belongs to a seat, and no seat has two living drivers.

A seat is taken like a run (`harness.folders.attempts`): its owner's heart beats, and when it has stopped another may
sit down and finds the trials that the former one left open.
"""

from itertools import count
from pathlib import Path

from harness.folders import attempts
from harness.folders.attempts import Attempt

FOLDER = "drivers"


def take_seats(folder: Path) -> list[Attempt]:
    """Take every seat of a study that nobody living has; a new one if there is none."""
    place = folder / FOLDER
    place.mkdir(parents=True, exist_ok=True)
    details = {"launcher": "tune"}
    present = sorted(int(each.name) for each in place.iterdir() if each.name.isdigit())
    taken = [attempt for number in present if (attempt := attempts.acquire(place / str(number), details))]
    numbers = count(max(present, default=0) + 1)
    while not taken:
        new = place / str(next(numbers))
        new.mkdir(exist_ok=True)
        if attempt := attempts.acquire(new, details):
            taken.append(attempt)
    return taken


def number_of(seat: Attempt) -> int:
    """The number of a seat."""
    return int(seat.folder.parent.name)
