# SPDX-License-Identifier: GPL-3.0-or-later
"""What pyproject.toml cannot say: a wheel holds the documentation, which Help of a form opens.

Everything else is declared in pyproject.toml.
"""

import os
import shutil

from setuptools import setup
from setuptools.command.build_py import build_py

TOP = os.path.dirname(os.path.abspath(__file__))
SITE = os.path.join(TOP, ".cryodl", "site")


class BuildWithDocs(build_py):
    """Copies the site into the package if `scripts/docs` has built it."""

    def run(self) -> None:
        build_py.run(self)
        if self.editable_mode:
            return  # the checkout has them
        target = os.path.join(self.build_lib, "cryodl_scipion", "docs")
        shutil.rmtree(target, ignore_errors=True)
        if os.path.isdir(SITE):
            shutil.copytree(SITE, target)


setup(cmdclass={"build_py": BuildWithDocs})
