# SPDX-License-Identifier: GPL-3.0-or-later
"""The plugin with Scipion's tomography, and without it."""

import os
import subprocess
import sys
import unittest

from .. import protocols
from ..convert.tomography import HAS_TOMO

OURS = {
    "CryodlProtTrainSegmenter",
    "CryodlProtSegment",
    "CryodlProtMergeFeatures",
    "CryodlProtPickFeatures",
    "CryodlProtMeasureMembranes",
    "CryodlProtEvaluateSegmentation",
    "CryodlProtSimulateTomograms",
    "CryodlProtSimulateSubtomograms",
    "CryodlProtTrainClassifier",
    "CryodlProtClassifySubtomograms",
    "CryodlProtClusterSubtomograms",
}
# Started anew, since this process has loaded all plugins: prints the view, the way and the name of each of our
# protocols.
LISTING = """
import sys
if 'hide' in sys.argv:
    sys.modules['tomo'] = None  # as if it were not installed
import pyworkflow as pw
pw.Config.setDomain('pwem')
domain = pw.Config.getDomain()
domain.getPlugins()
import cryodl_scipion.protocols, cryodl_scipion.viewers, cryodl_scipion.wizards
from pyworkflow.gui.project.viewprotocols_extra import ProtocolTreeConfig

def walk(node, way):
    for child in node.childs:
        if str(child.value or '').startswith('Cryodl'):
            print('FOUND', '|'.join(way), child.value)
        walk(child, way + [str(child.text)])
for name, view in ProtocolTreeConfig.load(domain, '').items():
    walk(view, [name])
"""


def listing(*arguments):
    """({way in the tree: names}, all that was said) of a new process."""
    answer = subprocess.run(
        [sys.executable, "-c", LISTING] + list(arguments),
        env=dict(os.environ, MPLBACKEND="Agg"),
        capture_output=True,
        text=True,
    )
    assert answer.returncode == 0, answer.stderr
    found = {}
    for line in answer.stdout.splitlines():
        if line.startswith("FOUND"):
            way, name = line[6:].rsplit(" ", 1)
            found.setdefault(way, set()).add(name)
    return found, answer.stdout + answer.stderr


class TestCryodlWithoutTomo(unittest.TestCase):
    def test_the_plugin_loads_and_only_the_protocols_on_tomograms_are_gone(self):
        found, said = listing("hide")
        names = set().union(*found.values())
        self.assertFalse(names & OURS)
        self.assertIn("CryodlProtPick", names)
        self.assertNotIn("error when importing from cryodl", said.lower())
        self.assertNotIn("Traceback", said)


@unittest.skipUnless(HAS_TOMO, "The plugin tomo is not installed.")
class TestCryodlWithTomo(unittest.TestCase):
    def test_every_protocol_stands_where_tomography_has_its_kind(self):
        self.assertLessEqual(OURS, set(vars(protocols)))
        found, _ = listing()
        self.assertLessEqual(
            {"CryodlProtTrainTomograms", "CryodlProtSegment", "CryodlProtMergeFeatures"},
            found["Tomography|Tomograms|Segmentation"],
        )
        self.assertIn("CryodlProtPickFeatures", found["Tomography|Particles|Picking"])
        self.assertIn(
            "CryodlProtClassifySubtomograms", found["Tomography|Subtomogram averaging|Classification and Alignment"]
        )
        self.assertIn("CryodlProtModels", found["Tomography|Deep learning models"])
