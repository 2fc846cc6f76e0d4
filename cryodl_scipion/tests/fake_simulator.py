# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulated micrographs of the fake engine: empty pictures, but coordinates, angles and CTF as the real ones have."""

import os

import mrcfile
import numpy as np

DIAMETER = 60.0  # Å
COLUMNS = (
    "rlnCoordinateX",
    "rlnCoordinateY",
    "rlnAngleRot",
    "rlnAngleTilt",
    "rlnAnglePsi",
    "rlnDefocusU",
    "rlnDefocusV",
    "rlnDefocusAngle",
    "rlnVoltage",
    "rlnSphericalAberration",
    "rlnAmplitudeContrast",
)


def particlesOf(index, count, config):
    """[(x, y, rot, tilt, psi, u, v, angle)] of a micrograph; unlike for each, and never symmetric."""
    defocus = config.minimum_defocus + 100.0 * index
    return [
        (
            60.25 + 31 * i,
            70.5 + 17 * i + index,
            10.0 + 40 * i,
            20.0 + 25 * i,
            -50.0 + 30 * i,
            defocus + 50,
            defocus - 50,
            15.0 + index,
        )
        for i in range(count)
    ]


def simulateMicrographs(config):
    """Write all that `cryodl simulate-micrographs` writes. Returns Result.outputs."""
    names = [f"simulated_{i + 1:04d}" for i in range(config.count)]
    for folder in ("micrographs", "coordinates", "ctf", "particles"):
        if folder != "particles" or config.box_size:
            os.makedirs(os.path.join(config.output, folder))
    optics = (config.voltage, config.spherical_aberration, config.amplitude_contrast)
    rows = {name: particlesOf(i, min(config.particles, 3 if i else 0), config) for i, name in enumerate(names)}
    for index, name in enumerate(names):
        noise = np.random.RandomState(index).normal(size=(config.size, config.size)).astype(np.float32)
        writeMrc(os.path.join(config.output, "micrographs", name + ".mrc"), noise, config.pixel_size)
        writeTable(
            os.path.join(config.output, "coordinates", name + ".star"),
            "",
            COLUMNS,
            [row + optics for row in rows[name]],
        )
        u, v, angle = particlesOf(index, 1, config)[0][5:]
        with open(os.path.join(config.output, "ctf", name + ".txt"), "w") as file:
            file.write(f"# fake\n1.0 {u:f} {v:f} {angle:f} 0.0 1.0 4.0\n")
    outputs = {name: os.path.join(config.output, name) for name in ("micrographs", "coordinates", "ctf")}
    stack = writeParticles(config, rows, optics) if config.box_size else None
    return dict(
        outputs,
        folder=config.output,
        particles=sum(map(len, rows.values())),
        particle_diameter=DIAMETER,
        particle_stack=stack,
        masks=None,
    )


def writeParticles(config, rows, optics):
    """particles.star as RELION 3.1 has it, and a stack for each micrograph; the rest of a rounded centre is an
    origin."""
    table = []
    for name, particles in rows.items():
        if not particles:
            continue
        boxes = np.random.RandomState(len(table)).normal(size=(len(particles), config.box_size, config.box_size))
        writeMrc(os.path.join(config.output, "particles", name + ".mrcs"), boxes.astype(np.float32), config.pixel_size)
        for i, (x, y, rot, tilt, psi, u, v, angle) in enumerate(particles, 1):
            table.append(
                (
                    f"{i:06d}@particles/{name}.mrcs",
                    f"micrographs/{name}.mrc",
                    round(x),
                    round(y),
                    (round(x) - x) * config.pixel_size,
                    (round(y) - y) * config.pixel_size,
                    rot,
                    tilt,
                    psi,
                    u,
                    v,
                    angle,
                    1,
                )
            )
    path = os.path.join(config.output, "particles.star")
    optic = (
        "rlnOpticsGroup",
        "rlnImagePixelSize",
        "rlnImageSize",
        "rlnVoltage",
        "rlnSphericalAberration",
        "rlnAmplitudeContrast",
    )
    writeTable(path, "optics", optic, [(1, config.pixel_size, config.box_size) + optics])
    files, origins = ("rlnImageName", "rlnMicrographName"), ("rlnOriginXAngst", "rlnOriginYAngst")
    writeTable(path, "particles", files + COLUMNS[:2] + origins + COLUMNS[2:8] + ("rlnOpticsGroup",), table)
    return path


def writeMrc(path, data, pixelSize):
    with mrcfile.new(path) as mrc:
        mrc.set_data(data)
        mrc.voxel_size = pixelSize


def writeTable(path, name, columns, rows):
    """Append a loop to a STAR file."""
    with open(path, "a") as file:
        file.write(f"\ndata_{name}\n\nloop_\n" + "".join(f"_{c} #{i}\n" for i, c in enumerate(columns, 1)))
        for row in rows:
            file.write(" ".join(str(value) for value in row) + "\n")
