# SPDX-License-Identifier: GPL-3.0-or-later
"""Trials of the half-map test: treatments that add nothing, and textures that are added to both half-maps.

    python benchmarks/map_invention.py --output FOLDER [--structures FILES] [--trials 10]

Half-maps are simulated by `cryodl simulate-half-maps`. Honest treatments: clipping at 0, a tight mask, global
sharpening, low-pass filters, and sharpening with mask and clipping. Textures: Gaussian noise in the mask with the
spectrum of the signal or white to the resolution, alone or followed by sharpening. Prints a table and writes
FOLDER/map_invention.json.
"""

import sys
from pathlib import Path

ENGINE = Path(__file__).resolve().parents[1] / "cryodl_scipion" / "engine"
sys.path.insert(0, str(ENGINE))

STRUCTURES = ("small/1S3X.pdb.gz", "complexes/1U6G.pdb.gz", "small/1FDO.pdb.gz")
AMPLITUDES = (0.125, 0.25, 0.5)
RESOLUTION, PIXEL = 4.0, 1.3
