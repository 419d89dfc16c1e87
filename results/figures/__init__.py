"""The figures: a file per figure, from frames of numbers to a drawing; `drawing` is what all of them make.

Each estimates first and draws then, at a journal's column width. `captions` and `curves` hold what several of them
share, `exact_lab` the figures of the exact lab.
"""
