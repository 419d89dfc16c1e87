"""Claims held against their numbers.

`verdict` what is found about a claim; `exact` the exact lab's claims; `per_run` the numbers that claims about runs
measure; `decisions` how these decide; `runs` the claims about runs; `table` all of them as a table.
"""
