# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl simulate-half-maps`: an atomic model in; two half-maps, their mean, the ground truth and the model in their
frame out. Write PREFIX_half1.mrc, _half2.mrc, _full.mrc, _truth.mrc and _model.pdb (or .cif)."""

import os

import numpy as np

from ...contract import SimulateHalfMapsConfig, SimulateHalfMapsOutputs, resolution_in_words
from ...io import memory, unfinished
from ...running.runner import PROGRAM, Run, command
from ..measures import shells, simulated, volume
from ..measures.atoms import read_atoms, write_blurred_model

SIDE_CHAINS = 30.0  # Å², increase of the B-factor with each bond between an atom and the backbone
SOLVENT = 0.6  # density of the ice around the molecule, as a fraction of the molecule's
CARBOXYLATES = 0.3  # fraction of their density that the carboxyl groups of Asp and Glu keep
FAR = 0.1  # of the resolution asked for: a warning if the half-maps miss it by more


@command
def simulate_half_maps(config: SimulateHalfMapsConfig, run: Run) -> SimulateHalfMapsOutputs:
    run.take_device("cpu")
    if config.resolution < 2 * config.pixel_size:
        raise ValueError(
            f"Resolution (--resolution) is {config.resolution:g} Å, finer than two pixels of "
            f"{config.pixel_size:g} Å. Choose a smaller --pixel-size."
        )
    endings = {"half1": "half1", "half2": "half2", "full": "full", "ground_truth": "truth"}
    files = {name: f"{config.output}_{ending}.mrc" for name, ending in endings.items()}
    unfinished.check_output(files["ground_truth"], "Simulated map")  # it is written last
    atoms = read_atoms(config.structure)
    run.warn(*atoms.notes)
    grid = simulated.grid_around(atoms, config.pixel_size, config.box)
    what = f"{config.structure}, {grid.data.shape[0]} px wide at {config.pixel_size:g} Å/px,"
    memory.require_memory(60 * grid.data.size, what, "Choose a larger --pixel-size.")
    faults = simulated.Faults(
        config.resolution,
        config.b_factor,
        config.flexibility,
        config.anisotropy,
        config.detergent,
        SIDE_CHAINS,
        SOLVENT,
        CARBOXYLATES,
    )
    print(
        f"Simulating {' x '.join(str(n) for n in grid.data.shape)} px of {config.pixel_size:g} Å: {len(atoms)} "
        f"atoms of {config.structure}."
    )
    maps = simulated.simulate(atoms, grid, faults, np.random.default_rng(run.seed))
    full, b_factor = simulated.deposited(maps, config.resolution)
    curve = shells.shell_correlation(maps.half1 * maps.mask, maps.half2 * maps.mask, grid.voxels_zyx)
    os.makedirs(os.path.dirname(os.path.abspath(files["full"])), exist_ok=True)
    structure = write_blurred_model(config.structure, maps.b_factors, config.output)
    for name, data in zip(files, (maps.half1, maps.half2, full, maps.grid.data)):
        volume.write_volume(files[name], data, grid)
    resolution = curve.resolution(0.143)
    if resolution is None or abs(resolution - config.resolution) > FAR * config.resolution:
        run.warn(
            f"Resolution (--resolution) is {config.resolution:g} Å, but the FSC of the half-maps around the atoms "
            f"falls to 0.143 at: {resolution_in_words(resolution)}. A molecule or box this small has few Fourier "
            "shells there; choose a larger --box, or a finer resolution."
        )
    run.summary(
        f"Written: {config.output}_half1.mrc and others; their FSC falls to 0.143 at "
        f"{resolution_in_words(resolution)}.",
        f"The full map was sharpened by a B-factor of {b_factor:.0f} Å².",
    )
    run.methods(
        f"Two half-maps of {os.path.basename(config.structure)} with the imperfections of real reconstructions were "
        f"simulated with {PROGRAM} at {config.pixel_size:.4g} Å/px; their FSC falls to 0.143 at "
        f"{resolution_in_words(resolution)}."
    )
    return SimulateHalfMapsOutputs(
        half1=files["half1"],
        half2=files["half2"],
        full=files["full"],
        ground_truth=files["ground_truth"],
        structure=structure,
        pixel_size=config.pixel_size,
        box=grid.data.shape[0],
        resolution=resolution,
        b_factor=b_factor,
    )
