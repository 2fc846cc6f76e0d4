# SPDX-License-Identifier: GPL-3.0-or-later
"""For tools that still look for a setup.py; everything is declared in pyproject.toml."""

from setuptools import setup

setup()
