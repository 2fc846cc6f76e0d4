# SPDX-License-Identifier: GPL-3.0-or-later
"""Picks of other programs by scipion-em's own import, whose readers are plugins of theirs, and particles cut out there.

The files are written here, by hand, as the programs' documentation has them."""

import importlib.util
import json
import os
from pathlib import Path
from unittest import mock

import mrcfile
import numpy as np
from pwem.protocols import ProtImportCoordinates

from ...protocols import CryodlProtExtractParticles
from .. import synthetic
from ..base import CryodlTest, picksOf

BOX = 32
CENTRES = {"mic_001": [(60, 80), (121, 45)], "mic_002": [(100, 90)]}  # x, y px from the first row of the file
STAR = "data_particles\n\nloop_\n_rlnMicrographName #1\n_rlnCoordinateX #2\n_rlnCoordinateY #3\n"


class TestCryodlImportedPicks(CryodlTest):
    @classmethod
    def prepare(cls):
        cls.mics = {os.path.basename(p)[:-4]: p for p in synthetic.writeMicrographs(cls.data + "/mics", 2)}
        cls.imported = cls.importMicrographs(cls.data + "/mics")

    def importedAndCut(self, plugin, texts):
        """Import files, {name: text}, and compare what is cut out at their picks."""
        if importlib.util.find_spec(plugin) is None:
            self.skipTest(f"The plugin {plugin}, which reads these files for scipion-em, is not installed.")
        folder = Path(self.data, self._testMethodName)
        folder.mkdir()
        for name, text in texts.items():
            (folder / name).write_text(text)
        source = self.runProtocol(
            ProtImportCoordinates,
            dict(inputMicrographs=(self.imported, "outputMicrographs")),
            filesPath=str(folder),
            filesPattern="*",
            boxSize=BOX,
        )
        self.assertTrue(source.isFinished(), source.getErrorMessage())
        self.assertEqual(picksOf(source.outputCoordinates), {f"{m}.mrc": sorted(c) for m, c in CENTRES.items()})
        picked = dict(inputCoordinates=(source, "outputCoordinates"))
        made = self.runProtocol(CryodlProtExtractParticles, picked, box=BOX)
        self.assertTrue(made.isFinished(), made.getErrorMessage())
        self.assertEqual(made.outputParticles.getSize(), sum(map(len, CENTRES.values())))
        for item in made.outputParticles.iterItems():
            (x, y), name = item.getCoordinate().getPosition(), item.getCoordinate().getMicName()[:-4]
            self.assertIn((x, y), CENTRES[name])
            cut = mrcfile.read(self.mics[name])[y - BOX // 2 : y + BOX // 2, x - BOX // 2 : x + BOX // 2]
            index, path = item.getLocation()
            self.assertTrue(np.array_equal(mrcfile.read(path)[index - 1], -cut), name)

    def test_boxes_of_eman_which_cryolo_writes_too(self):
        """A line is x and y of the box's first corner, width, height."""
        line = lambda x, y: f"{x - BOX // 2}\t{y - BOX // 2}\t{BOX}\t{BOX}\n"
        self.importedAndCut("eman2", {f"{m}.box": "".join(line(*c) for c in cs) for m, cs in CENTRES.items()})

    def test_boxes_in_the_info_files_of_eman2(self):
        """info/<micrograph>_info.json has centres."""
        text = lambda centres: json.dumps(dict(boxes=[[x, y, "manual"] for x, y in centres]))
        self.importedAndCut("eman2", {f"{m}_info.json": text(centres) for m, centres in CENTRES.items()})

    def test_picks_of_cryosparc(self):
        """Without pyem, by which their plugin converts: what it writes is written here. Names begin with cryoSPARC's
        number, and that plugin counts rows from the last one on."""
        line = lambda m, x, y: f"J2/imported/00123_{m}.mrc {x}.0 {mrcfile.read(self.mics[m]).shape[0] - y}.0\n"
        text = STAR + "".join(line(m, *c) for m, cs in CENTRES.items() for c in cs)
        write = lambda words: Path(words[1]).write_text(text)
        there = importlib.util.find_spec("cryosparc2") is not None
        with mock.patch("cryosparc2.convert.dataimport.convertCs2Star" if there else "builtins.print", write):
            self.importedAndCut("cryosparc2", {"picked_particles.cs": ""})
