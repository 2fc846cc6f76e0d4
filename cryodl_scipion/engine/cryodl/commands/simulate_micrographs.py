# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl simulate-micrographs`: a structure in; micrographs, coordinates with angles and CTF, CTFFIND texts out.

Result.outputs: folder, micrographs, coordinates, ctf (folders), particles, particle_diameter (Å).
"""
import os
from pathlib import Path

import numpy as np

from ..contract import Result
from ..io.files import rename_folder

COLUMNS = ("rlnCoordinateX", "rlnCoordinateY", "rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi", "rlnDefocusU",
           "rlnDefocusV", "rlnDefocusAngle", "rlnVoltage", "rlnSphericalAberration", "rlnAmplitudeContrast")


def run(config):
    """Simulate into <output>.partial, then rename."""
    if os.path.exists(config.output):
        raise FileExistsError(f"Output folder {config.output} (--output) exists already; it is not replaced. Choose "
                              "another name or remove it.")
    from tqdm import tqdm

    from ..devices import choose_device, device_name, set_threads
    from ..simulate.micrographs import particle_diameter, random_optics, simulate_micrograph
    from ..simulate.structures import load_density
    device = choose_device(config.device)
    set_threads(config.threads)
    density = load_density(config.structure, config.pixel_size).to(device)
    diameter = particle_diameter(density.cpu(), config.pixel_size)
    if diameter / config.pixel_size > config.size / 2:
        raise ValueError(f"{config.structure} is {diameter:.0f} Å wide, more than half of a micrograph of {config.size} "
                         f"px x {config.pixel_size:g} Å/px. Choose a larger --size or --pixel-size.")
    folder = Path(str(config.output).rstrip("/") + ".partial")
    for name in ("micrographs", "coordinates", "ctf"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    total = 0
    for index in tqdm(range(config.count), unit="micrograph", mininterval=1.0):
        rng = np.random.default_rng((config.seed, index))
        micrograph = simulate_micrograph(density, config.pixel_size, (config.size, config.size), config.particles,
                                         config.snr, random_optics(config, rng), rng, diameter / config.pixel_size)
        _write(folder, f"simulated_{index + 1:04d}", micrograph, config)
        total += len(micrograph.centres_yx)
    rename_folder(folder, config.output)
    print(f"{config.count} micrographs with {total} particles of {diameter:.0f} Å: {config.output}")
    outputs = {name: os.path.join(config.output, name) for name in ("micrographs", "coordinates", "ctf")}
    return Result("simulate-micrographs", dict(outputs, folder=str(config.output), particles=total,
                                               particle_diameter=diameter), device=device_name(device))


def _write(folder, name, micrograph, config):
    import mrcfile
    with mrcfile.new(folder / "micrographs" / f"{name}.mrc", overwrite=True) as mrc:
        mrc.set_data(micrograph.image.numpy().astype(np.float32))
        mrc.voxel_size = config.pixel_size
    o = micrograph.optics
    rows = np.hstack([micrograph.centres_yx[:, ::-1], micrograph.angles,
                      np.tile([o.defocus_u, o.defocus_v, o.defocus_angle, o.voltage_kv, o.cs_mm, o.amplitude_contrast],
                              (len(micrograph.angles), 1))])
    head = ["", "data_", "", "loop_"] + [f"_{c} #{i}" for i, c in enumerate(COLUMNS, 1)]
    lines = head + ["  ".join(f"{v:.4f}" for v in row) for row in rows]
    (folder / "coordinates" / f"{name}.star").write_text("\n".join(lines) + "\n")
    (folder / "ctf" / f"{name}.txt").write_text(_ctffind_text(name, o, config))


def _ctffind_text(name, optics, config):
    """CTFFIND 4's text output: what Scipion's import of CTF reads."""
    return (
        f"# Known CTF of a simulated micrograph, in the format of CTFFIND 4\n"
        f"# Input file: {name}.mrc ; Number of micrographs: 1\n"
        f"# Pixel size: {config.pixel_size:.4f} Angstroms ; acceleration voltage: {optics.voltage_kv:.1f} keV ; spherical "
        f"aberration: {optics.cs_mm:.2f} mm ; amplitude contrast: {optics.amplitude_contrast:.2f}\n"
        f"# Box size: 512 pixels ; min. res.: 30.0 Angstroms ; max. res.: 5.0 Angstroms ; min. def.: 5000.0 um; max. def. "
        f"50000.0 um\n"
        f"# Columns: #1 - micrograph number; #2 - defocus 1 [Angstroms]; #3 - defocus 2; #4 - azimuth of astigmatism; "
        f"#5 - additional phase shift [radians]; #6 - cross correlation; #7 - spacing (in Angstroms) up to which CTF rings "
        f"were fit successfully\n"
        f"1.000000 {optics.defocus_u:.6f} {optics.defocus_v:.6f} {optics.defocus_angle:.6f} 0.000000 1.000000 "
        f"{2 * config.pixel_size:.6f}\n")
