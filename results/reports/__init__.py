"""The reports: pages about runs, the exact lab and measured speed, and the analysis of power.

`contents` arranges what `runs` writes; `claim_sections` is what pages say of claims; `page` renders templates.
"""

from results.style import import_matplotlib

import_matplotlib()
