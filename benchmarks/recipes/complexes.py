# SPDX-License-Identifier: GPL-3.0-or-later
"""Complexes with and without their partners, as models in one frame, simulated sets of them, and denoisers of these.

Training sets are simulated with another seed than test sets: other orientations, shifts, defoci and noise.
"""

import dataclasses
import json
import shutil
from pathlib import Path

import gemmi
import numpy as np
from bench import costs, cryodl, structure_file

from cryodl.io.particle_sets import StackWriter, read_particles, write_particles_star

TRAINING_SEED, TEST_SEED = 101, 2  # orientations.py tests with 1
SNR = 0.05


@dataclasses.dataclass(frozen=True)
class Molecule:
    """A structure and how it is imaged. file: in COMPLEXES, or a name of `compositions`. pixel_size: Å/px. box: px."""

    name: str
    file: str
    pixel_size: float = 3.5
    box: int = 64


MOLECULES = {
    m.name: m
    for m in (
        Molecule("beta-galactosidase", "8BK7"),
        Molecule("spike", "6VXX"),
        Molecule("GroEL", "1OEL"),
        Molecule("RNA polymerase", "1WCM"),
        Molecule("calcium channel", "5GJV"),
        Molecule("microtubule", "microtubule.cif", 8.5),
        Molecule("microtubule + kinesin", "microtubule-kinesin.cif", 8.5),
        Molecule("nucleosome", "nucleosome.cif", 5.0),
        Molecule("nucleosome + Chd1", "nucleosome-chd1.cif", 5.0),
    )
}


class Sets:
    """What a run measures on; made when it is first asked for, and kept.

    area: where the signal of the SNR is measured, see `cryodl simulate-particles --snr-area`. count, training: numbers
    of particles. steps: {network: training steps}. options: of all trainings.
    """

    def __init__(self, run, area="particle", count=200, training=1000, steps=None, options=()):
        self.area, self.count, self.training, self.steps, self.options = area, count, training, steps or {}, options
        self.root = run.output / area

    def structure(self, name):
        file = MOLECULES[name].file
        if not file.endswith(".cif"):
            return structure_file(file)
        if not (self.root / "structures" / file).exists():
            write_compositions(self.root / "structures")
        return self.root / "structures" / file

    def particles(self, name, snr=SNR, training=False):
        count = self.training if training else self.count
        folder = self.root / "sets" / f"{_word(name)}-{snr:g}-{'training' if training else 'test'}-{count}"
        if not folder.exists():
            partial = new_folder(folder.with_suffix(folder.suffix + ".partial"))
            simulate(
                self.structure(name),
                MOLECULES[name],
                snr,
                count,
                TRAINING_SEED if training else TEST_SEED,
                partial / "particles.star",
                self.area,
            )
            partial.rename(folder)  # names of stacks are relative to the folder
        return folder / "particles.star"

    def model(self, names, network, snr=SNR, particles=None):
        """Folder of a denoiser and what its training cost, dict(cpu, wall in s, memory in MB, steps).

        names: molecules that it learns. particles: other training sets than theirs, then without simulated pairs.
        Without `steps` a network takes its own number.
        """
        words = "+".join(_word(name) for name in names) + ("" if particles is None else "-" + particles[0].parent.name)
        model = self.root / "models" / "-".join([words, network, f"{snr:g}", *self.options[1::2]])
        steps = self.steps.get(network)
        record = model.with_suffix(model.suffix + ".json")
        if not record.exists():
            shutil.rmtree(model, ignore_errors=True)
            model.parent.mkdir(parents=True, exist_ok=True)
            sets = particles or [self.particles(name, snr, training=True) for name in names]
            more = ("--simulated-fraction", 0) if particles else ()
            cost = train(sets, [self.structure(name) for name in names], model, network, steps, *more, *self.options)
            record.write_text(json.dumps(cost))
        return model, json.loads(record.read_text())


def simulate(structure, molecule, snr, count, seed, star, area="particle"):
    cryodl(
        "simulate-particles",
        "--structure",
        structure,
        "--pixel-size",
        molecule.pixel_size,
        "--box",
        molecule.box,
        "--count",
        count,
        "--snr",
        snr,
        "--seed",
        seed,
        "--snr-area",
        area,
        "--output",
        star,
        "--device",
        "cpu",
        "--threads",
        1,
    )


def train(sets, structures, model, network, steps, *options):
    """`cryodl train-denoiser` on one thread. steps: None for the network's own.

    Returns dict: cpu, wall (s), memory (MB), steps that were done.
    """
    cost = cryodl(
        "train-denoiser",
        "--particles",
        *sets,
        "--structure",
        *structures,
        "--network",
        network,
        "--output",
        model,
        "--device",
        "cpu",
        "--threads",
        1,
        *(() if steps is None else ("--steps", steps)),
        *options,
    )
    return dict(costs(cost), steps=json.loads((Path(model) / "card.json").read_text())["training"].get("steps"))


def write_compositions(folder):
    """The complexes with and without their partners, as mmCIF of one frame each.

    microtubule-kinesin: all 35 sites that 6B0I's own operators make, a tube of 15 protofilaments; kinesin is Klp10A.
    nucleosome-chd1: 5O9G.
    """
    folder = new_folder(Path(folder))
    tube = gemmi.read_structure(str(structure_file("6B0I")))
    tube.setup_entities()
    tube.remove_ligands_and_waters()
    tube.transform_to_assembly(tube.assemblies[0].name, gemmi.HowToNameCopiedChain.AddNumber)
    nucleosome = gemmi.read_structure(str(structure_file("5O9G")))
    nucleosome.remove_ligands_and_waters()
    for name, structure, keep in (
        ("microtubule-kinesin", tube, lambda chain: True),
        ("microtubule", tube, lambda chain: not chain.name.startswith("K")),
        ("nucleosome-chd1", nucleosome, lambda chain: True),
        ("nucleosome", nucleosome, lambda chain: chain.name != "W"),
    ):
        write_model(structure, keep, folder / f"{name}.cif")


def write_model(structure, keep, path):
    """mmCIF of the first model's chains for which keep(chain) is true, nothing else."""
    chosen, model = gemmi.Structure(), gemmi.Model(1) if gemmi.__version__ >= "0.7" else gemmi.Model("1")
    for chain in structure[0]:
        if keep(chain):
            model.add_chain(chain)
    chosen.add_model(model)
    chosen.setup_entities()
    chosen.make_mmcif_document().write_file(str(path))


def noise_set(star, output, seed=3):
    """A STAR file like `star` whose images are noise of variance 1 alone; angles, shifts and CTF stay."""
    particles, rng = read_particles(star), np.random.default_rng(seed)
    new_folder(output.parent)
    stack = output.with_suffix(".mrcs")
    with StackWriter(stack, len(particles), particles.box, particles.pixel_size) as writer:
        for _ in range(len(particles)):
            writer.add(rng.standard_normal((1, particles.box, particles.box), dtype=np.float32))
    write_particles_star(output, particles, stack=stack)
    return output


def _word(name):
    return name.replace(" ", "-").replace("+", "and")


def new_folder(folder):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
