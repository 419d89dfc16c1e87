"""Statistics of runs: functions of arrays with stated shapes, and of an explicit generator where they are random.

`intervals` for one task, `pairs` for arms that share seeds, `equivalence` and non-inferiority, `trend` for dose and
response, `aggregates` and `bootstrap` for several tasks, `power` for the number of seeds; `coverage` measures coverage
and error rates (COVERAGE.md).
"""
