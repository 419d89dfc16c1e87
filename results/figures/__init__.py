"""The figures of a report: functions from frames to drawings at a journal's column width.

`drawing` is what a figure consists of and how it is written; `gallery` lists the figures about all arms.
"""

from results.style import import_matplotlib

import_matplotlib()
