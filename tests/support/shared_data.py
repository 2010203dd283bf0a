"""Where real public data lies on machines that have some: `ATLAS_TEST_DATA`, else `shared/data` beside the checkout."""

from __future__ import annotations

import os
from pathlib import Path

from trainers.paths import ROOT

SHARED_DATA = Path(os.environ.get("ATLAS_TEST_DATA", ROOT.parent / "shared" / "data"))
