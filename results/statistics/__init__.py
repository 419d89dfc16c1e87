"""Statistics of runs: functions of arrays with stated shapes, and of a generator where chance is drawn.

`estimate` what is reported; `intervals` one task; `pairs` two arms that share seeds; `equivalence` unaltered, or no
worse; `trend` dose and response; `aggregates` and `bootstrap` several tasks at once; `multiplicity` several tests at
once; `coverage` how often the intervals hold the truth (COVERAGE.md).
"""
