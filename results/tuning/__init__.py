"""What searches for settings found: `ledger` their trials as a frame, `table` effort and outcome, `figures`."""

from results.style import import_matplotlib

import_matplotlib()
