"""Verdicts on claims.

`decisions` tests numbers of runs and of the exact lab, `runs` applies it to claims about runs, `table` makes a table of
all verdicts.
"""
