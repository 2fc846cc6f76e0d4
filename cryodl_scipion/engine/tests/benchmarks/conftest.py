# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules of benchmarks/, which is there in a checkout alone."""

import sys
from pathlib import Path

BENCHMARKS = Path(__file__).resolve().parents[4] / "benchmarks"
collect_ignore_glob = [] if BENCHMARKS.is_dir() else ["test_*.py"]
sys.path.append(str(BENCHMARKS))
