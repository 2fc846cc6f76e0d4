# SPDX-License-Identifier: GPL-3.0-or-later
"""`trials`: the commands on tiny data that the benchmark of kills has."""

import sys

import pytest
from synthetic import ENGINE

BENCHMARKS = ENGINE.parents[1] / "benchmarks"
sys.path.append(str(BENCHMARKS))
trials = pytest.importorskip("recipes.trials", reason="an engine without its checkout")
sys.path.remove(str(BENCHMARKS))  # its modules have names of folders of tests
