"""All figures that compare arms, in the order of the report."""

from collections.abc import Iterator, Sequence

import pandas as pd

from results.figures.curves import bound_rate, learning_curves, seed_traces, values_and_floors
from results.figures.drawing import Drawing
from results.figures.effects import dose_response, effects_figure, paired_differences
from results.figures.learned_floor import learned_floor
from results.figures.scores import performance_profile, score_by_floor
from results.tables import Table
from results.tables.effects import Effect
from results.verdicts.runs import per_run


def gallery(
    runs: pd.DataFrame, evaluations: pd.DataFrame, differences: Table | None, against_centre: Sequence[Effect]
) -> Iterator[Drawing]:
    """Yield the figures of the two frames, of the table of differences and of the effects (`results.tables.effects`).

    Figures without data are omitted.
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
