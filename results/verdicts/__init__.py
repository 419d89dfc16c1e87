"""Verdicts on claims.

`decisions` tests the numbers of runs, `runs` applies them to claims about runs, `exact` judges claims of the exact lab,
`table` makes a table of all verdicts.
"""
