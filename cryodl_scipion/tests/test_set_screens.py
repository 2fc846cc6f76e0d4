# SPDX-License-Identifier: GPL-3.0-or-later
"""A double click on micrographs opens Scipion's own viewer of sets, which needs Qt's libraries (scripts/setup.sh).

Particles and classes are opened by the same program. The demo does the same with its own.
"""

import unittest

from . import synthetic
from .base import CryodlTest
from .set_viewer import problemOfDoubleClick
from .test_screens import missing


@unittest.skipIf(missing(), missing())
class TestCryodlSets(CryodlTest):
    @classmethod
    def prepare(cls):
        synthetic.writeMicrographs(cls.data + "/mics", 2)
        cls.imported = cls.importMicrographs(cls.data + "/mics")

    def test_micrographs_are_shown(self):
        self.assertEqual(problemOfDoubleClick(self.proj, self.imported, self.imported.outputMicrographs), "")
