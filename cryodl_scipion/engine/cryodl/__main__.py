# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m cryodl`."""

import sys

from .running.cli import main

if __name__ == "__main__":
    sys.exit(main())
