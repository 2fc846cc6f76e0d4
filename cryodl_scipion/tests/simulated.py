# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulated micrographs with known ground truth, made by the real engine, and whether the real chain can run here."""

import os
import subprocess

import mrcfile
import numpy as np
from pwem import Domain
from pwem.protocols import ProtImportVolumes

from .. import Plugin

PIXEL_SIZE = 4.0  # Å/px
DIAMETER = 150.0  # Å
SIDE = 640  # px of the micrographs
MICROGRAPHS = 5
FRAMES = 10  # of their movies


def missing():
    """Why the chain cannot run here, '' if it can."""
    problems = missingEngine()
    try:
        import cistem  # noqa: F401  its parser reads CTFFIND's text
        from relion import Plugin as Relion
    except ImportError as error:
        return f"a Scipion plugin is not installed: {error}."
    if not os.path.exists(Relion.getHome("bin", "relion_refine")):
        return f"RELION is not in {Relion.getHome()} (RELION_HOME)."
    return problems


def missingEngine():
    """Why the real engine cannot run here, '' if it can."""
    Domain.getPlugins()  # only now do plugins know their homes
    return " ".join(Plugin.validateInstallation())


def writeStructure(path):
    """A lopsided body of blobs, unlike its mirror image, 140 Å long."""
    axis = (np.arange(64) - 32) * PIXEL_SIZE
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    blobs = [
        (0, 0, 0, 26, 1.0),
        (40, 0, 8, 16, 1.0),
        (-22, 34, 0, 16, 0.9),
        (-10, -20, 38, 14, 1.1),
        (10, 30, -30, 12, 0.8),
    ]
    density = sum(
        weight * np.exp(-((x - bx) ** 2 + (y - by) ** 2 + (z - bz) ** 2) / (2 * (width / 2) ** 2))
        for bx, by, bz, width, weight in blobs
    )
    with mrcfile.new(path) as mrc:
        mrc.set_data(density.astype(np.float32))
        mrc.set_volume()
        mrc.voxel_size = PIXEL_SIZE
    return path


def importedBody(test):
    """The finished import of that body's map, by a test class."""
    writeStructure(test.data + "/body.mrc")
    imported = test.newProtocol(
        ProtImportVolumes, filesPath=test.data, filesPattern="body.mrc", samplingRate=PIXEL_SIZE, setOrigCoord=False
    )
    test.launchProtocol(imported)
    return imported


def simulate(folder):
    """Run the engine's simulator. Returns its output folder."""
    structure, output = writeStructure(os.path.join(folder, "body.mrc")), os.path.join(folder, "simulated")
    subprocess.run(
        [
            Plugin.getPython(),
            "-m",
            "cryodl",
            "simulate-micrographs",
            "--structure",
            structure,
            "--pixel-size",
            str(PIXEL_SIZE),
            "--count",
            str(MICROGRAPHS),
            "--size",
            str(SIDE),
            "--particles",
            "30",
            "--snr",
            "0.15",
            "--frames",
            str(FRAMES),
            "--output",
            output,
            "--device",
            "cpu",
            "--seed",
            "3",
        ],
        env=Plugin.getEnviron(),
        check=True,
    )
    return output


def readPositions(path):
    """(n, 2) x, y of a STAR file of the simulator."""
    with open(path) as file:
        rows = [line.split() for line in file if line.strip() and line.split()[0][0] in "0123456789-."]
    return np.array([[float(row[0]), float(row[1])] for row in rows])
