"""Every figure about all arms, in the order of the report."""

from collections.abc import Iterator, Sequence

import pandas as pd

from results.figures.bound_rate import bound_rate
from results.figures.dose_response import dose_response
from results.figures.drawing import Drawing
from results.figures.effects import effects_figure
from results.figures.learned_floor import learned_floor
from results.figures.learning_curves import learning_curves
from results.figures.paired_differences import paired_differences
from results.figures.performance_profile import performance_profile
from results.figures.score_by_floor import score_by_floor
from results.figures.seed_traces import seed_traces
from results.figures.values_and_floors import values_and_floors
from results.tables import Table
from results.tables.effects import Effect
from results.verdicts.per_run import per_run


def gallery(
    runs: pd.DataFrame, evaluations: pd.DataFrame, differences: Table | None, against_centre: Sequence[Effect]
) -> Iterator[Drawing]:
    """The figures of the two frames, of the table of differences and of the effects of `results.tables.effects`, one
    after the other; those with nothing to show are left out.
    """
    measured = per_run(runs, evaluations)
    yield from learning_curves(runs, evaluations)
    yield from values_and_floors(runs, evaluations)
    yield from bound_rate(runs, evaluations)
    yield from score_by_floor(runs)
    if differences:
        yield from paired_differences(differences.numbers)
    single = effects_figure(against_centre), dose_response(against_centre, measured), learned_floor(measured)
    yield from filter(None, single)
    yield performance_profile(runs)
    yield from seed_traces(runs, evaluations)
