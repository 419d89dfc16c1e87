"""An extension: a floor, an arm, a task and a claim of a user, in a file anywhere.

floorbench run --extension halved.py --task pointmaze-open --arm cql --arm monte_carlo --arm halved --seed 0-5
floorbench report --extension halved.py
"""

from torch import Tensor

from ablations.arms import Arm
from ablations.claim import Claim, Difference
from algorithms.floors import FloorInputs
from floorbench import register
from harness.settings import DataSettings
from harness.tasks.recipes import DEMO_ALGORITHM, DEMO_SCHEDULE, Recipe
from harness.tasks.registry import pointmaze


def halved(inputs: FloorInputs) -> Tensor:
    """Half of the return-to-go."""
    return 0.5 * inputs.return_to_go


register.floor("halved", halved)

register.arm(
    "halved",
    Arm({"floor.base": "halved"}, label="Cal-QL, halved floor", colour="#17becf"),
)

register.task(
    Recipe(
        pointmaze("Open", 300, DataSettings(transitions=5_000, action_noise=0.3)),
        DEMO_ALGORITHM,
        DEMO_SCHEDULE,
    )
)

register.claim(
    Claim(
        "cal-ql-shorter-episodes",
        "Fine-tuning",
        "Cal-QL ends with shorter episodes than CQL.",
        "derived",
        "environment steps per deterministic episode at the last evaluation",
        lambda runs: runs["end.episode_length"],
        Difference(("monte_carlo",), "cql", "below"),
    ),
)
