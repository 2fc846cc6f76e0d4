# SPDX-License-Identifier: GPL-3.0-or-later
"""What a classification leaves for the particles that come later: the sums of its classes, and how they were made."""

import dataclasses
import hashlib
import json
import math
import os
import typing
import zipfile
from pathlib import Path

import numpy as np
import torch

from ...contract import Classify2DConfig, class_choice, config_to_dict, counted, describe_all, reading, say_if
from ...io.files import whole_file
from ...io.particle_sets import ParticleSet
from ...likelihood.observed import smoothed_notes
from .averages import ClassBank, ImageSums
from .polar import PolarGrid
from .records import ClassSettings, SampleScale

SUMS = "sums.npz"
# Parameters that a continued run takes from the earlier one.
TAKEN = ("classes", "mask_diameter", "max_shift", "resolution", "correct_ctf", "contrast")


@dataclasses.dataclass(frozen=True)
class FormerClasses:
    """The classes of an earlier run.

    taken : {parameter: value} of TAKEN. pixel_size: Å/px and box: px of the particles. with_ctf: whether their CTF was
    used; divided: whether the images had been multiplied by it, False if that was not noted. scale, reach_px,
    mask_px: as in ClassSettings. counts: (k,) particles of each class, class 1 first. rings: (2, k, rings, orders) sums
    of even and odd particles and ring_weights (2, k, rings), see ClassBank. images: ImageSums. converged: whether the
    classes no longer changed. members: (n,) particle_keys of the particles in them, without those of runs of earlier
    versions, which did not note them."""

    taken: dict[str, typing.Any]
    pixel_size: float
    box: int
    with_ctf: bool
    divided: bool
    scale: SampleScale
    reach_px: float
    mask_px: float
    counts: np.ndarray
    rings: torch.Tensor
    ring_weights: torch.Tensor
    images: ImageSums
    converged: bool
    members: np.ndarray

    def bank(self, device: torch.device) -> ClassBank:
        """The sums as a ClassBank: even particles in its part 0, odd ones in part 1."""
        bank = ClassBank(self.scale.grid, len(self.counts), device)
        bank.sums[:2], bank.weights[:2] = self.rings.to(device), self.ring_weights.to(device)
        bank.counts[0] = torch.from_numpy(self.counts).to(bank.counts)
        return bank


def write_former(path: Path, former: FormerClasses) -> None:
    """Write FormerClasses, whole or not at all."""
    texts = {name: getattr(former, name) for name in _TEXTS}
    texts["grid"], texts["sign"] = dataclasses.asdict(former.scale.grid), former.scale.sign
    with whole_file(path) as temporary, open(temporary, "wb") as file:
        np.savez(
            file,
            texts=np.array(json.dumps(texts)),
            noise=former.scale.noise,
            counts=former.counts,
            rings=former.rings.cpu().numpy(),
            ring_weights=former.ring_weights.cpu().numpy(),
            images=former.images.images.cpu().numpy(),
            weights=former.images.weights.cpu().numpy(),
            members=former.members,
        )


_TEXTS = ("taken", "pixel_size", "box", "with_ctf", "reach_px", "mask_px", "converged", "divided")


def read_former(folder: str) -> FormerClasses:
    """The FormerClasses of a folder. Raises FileNotFoundError or ReadError that name it and what to do."""
    path = Path(folder) / SUMS
    if not path.is_file():
        raise FileNotFoundError(
            f"{folder} (--classes-from) is not the folder of a finished `cryodl classify-2d`: it has no {SUMS}. Give "
            "the --output of one, of this version or a later one."
        )
    return read_sums_of_classes(path)


@reading.reader
def read_sums_of_classes(path: str | os.PathLike[str]) -> FormerClasses:
    """The FormerClasses that a file holds. Raises ReadError."""
    with zipfile.ZipFile(path) as members:  # stored as they are; compressed ones could be as large as they like
        if any(one.compress_type != zipfile.ZIP_STORED for one in members.infolist()):
            raise ValueError("it holds compressed arrays, as cryodl writes none. Classify again.")
    with np.load(path, allow_pickle=False) as kept:
        texts = {"divided": False, **json.loads(str(kept["texts"]))}
        if texts.get("multiplied"):  # such images were not divided then: their noise had another scale
            raise ValueError("its images, multiplied by their CTF, had another scale in that version. Classify again.")
        arrays = {name: kept[name] for name in kept.files if name != "texts"}
    return FormerClasses(
        **{name: texts[name] for name in _TEXTS},
        scale=SampleScale(PolarGrid(**texts["grid"]), arrays["noise"], texts["sign"]),
        counts=arrays["counts"],
        rings=torch.from_numpy(arrays["rings"]),
        ring_weights=torch.from_numpy(arrays["ring_weights"]),
        images=ImageSums(torch.from_numpy(arrays["images"]), torch.from_numpy(arrays["weights"])),
        members=arrays.get("members", np.zeros(0, np.uint64)),
    )


def taken_config(config: Classify2DConfig, former: FormerClasses) -> Classify2DConfig:
    """A config with the earlier run's parameters. Raises ValueError where another one was asked for."""
    asked = config_to_dict(config)
    for one in describe_all(Classify2DConfig):
        before = former.taken.get(one.name)
        if one.name in TAKEN and asked[one.name] not in (one.default, before):
            raise ValueError(
                f"{one.label} ({one.flag}) is {asked[one.name]}, but the run in {config.classes_from} was made with "
                f"{'the default' if before is None else before}. Leave out {one.flag}: it is taken from there."
            )
    return dataclasses.replace(config, **{name: former.taken[name] for name in TAKEN})


def former_settings(config: Classify2DConfig, particles: ParticleSet, former: FormerClasses) -> ClassSettings:
    """Settings for particles that are compared with classes of an earlier run. Raises ValueError for particles of
    another box or pixel size, for those with a CTF where the others have none, and for those multiplied by theirs where
    the others are not: their noise has another scale."""
    source = f"the run in {config.classes_from} (--classes-from)"
    if particles.box != former.box or abs(particles.pixel_size / former.pixel_size - 1) > 1e-3:
        raise ValueError(
            f"{particles.path} has images of {particles.box} px and {particles.pixel_size:.4g} Å/px; {source} has "
            f"{former.box} px and {former.pixel_size:.4g} Å/px. Extract the particles like those."
        )
    if not config.correct_ctf:
        particles = dataclasses.replace(particles, optics=None)
    elif (particles.optics is not None) != former.with_ctf:
        have, had = ("no CTF", "with") if former.with_ctf else ("a CTF", "without")
        raise ValueError(
            f"{particles.path} has {have}, but {source} was made {had} the CTF. Give particles "
            f"{had} a CTF, or classify all particles together."
        )
    elif former.with_ctf and (particles.ctf_state == "multiplied") != former.divided:
        are, were = ("not multiplied", "are") if former.divided else ("multiplied", "are not, or not known to be")
        raise ValueError(
            f"The images of {particles.path} are {are} by their CTF (rlnCtfDataAreCtfPremultiplied), and those of "
            f"{source} {were}. Extract them in the same way, or classify all particles together."
        )
    finest = particles.box * particles.pixel_size / former.scale.grid.rings
    return ClassSettings(
        particles.divided(), former.scale, finest, former.reach_px, former.mask_px, tuple(smoothed_notes(particles))
    )


MANY, FEWEST = 12, 4  # of the largest classes, at most and at least ...
FINEST = 25.0  # ... and Å, of the detail in which they are compared


def likeness(former: FormerClasses, good: np.ndarray) -> float:
    """How much the largest averages look like each other: the median of their correlations in the best rotation and
    mirror image, over what noise allows; 0 for fewer than 4. Waves longer than half the mask's diameter, which all
    views share, are left out. good: (k,) bool, of classes that show more than noise; small ones tell nothing."""
    grid, some = former.scale.grid, np.flatnonzero(good & (former.counts >= class_choice.JUDGED))
    some = some[np.argsort(-former.counts[some], kind="stable")][:MANY]
    rings = slice(int(grid.box / grid.mask_px), max(3, int(former.box * former.pixel_size / FINEST)))
    orders = torch.arange(grid.orders)
    turned = torch.polar(torch.ones(grid.orders, 180), 2 * math.pi / 180 * orders[:, None] * torch.arange(180.0))
    of_both = (grid.radii[rings, None] * (1.0 + (orders > 0))).sqrt()
    one, two = former.rings[:, some, rings] / former.ring_weights[:, some, rings, None].clamp(min=1e-6) * of_both
    both = torch.stack([two.conj(), (1.0 - 2.0 * (orders % 2)) * two])  # and its mirror image
    best = torch.einsum("irm,bjrm,mp->ijbp", one, both, turned).real.amax((2, 3))
    own = (one.conj() * two).real.sum((1, 2)).clamp(min=1e-9).sqrt()
    pairs = (best / own / own[:, None])[~torch.eye(len(some), dtype=torch.bool)]
    return float(pairs.median()) if len(some) >= FEWEST else 0.0


def particle_keys(particles: ParticleSet) -> np.ndarray:
    """(n,) uint64 that tell particles apart: checksums of the stack's path, the number in it, and the id, if any."""
    stacks = {path: os.path.realpath(path) for path in set(map(str, particles.files))}
    rows = zip(particles.files, particles.numbers, particles.columns.get("rlnImageId", [""] * len(particles)))
    texts = (f"{number}@{stacks[str(path)]} {own}" for path, number, own in rows)
    return np.array([int.from_bytes(hashlib.blake2b(t.encode(), digest_size=8).digest(), "big") for t in texts], "u8")


def check_members(config: Classify2DConfig, keys: np.ndarray, former: FormerClasses) -> list[str]:
    """A sentence in a list if all are classified again without some of the earlier particles. keys: of the particles.
    Raises ValueError if particles are to be added that are in the classes already."""
    if not config.again and (twice := int(np.isin(keys, former.members).sum())):
        raise ValueError(
            f"{twice} of the {counted(len(keys), 'particle')} of {config.particles} are in the classes of "
            f"{config.classes_from} (--classes-from) already and would be counted twice. Give only the others, or "
            "classify all particles with --again."
        )
    missing = config.again * int((~np.isin(former.members, keys)).sum())
    return say_if(
        missing,
        f"{missing} of the {counted(len(former.members), 'particle')} of the run in {config.classes_from} are not in "
        f"{config.particles} (or their stacks were moved): the new classes are without them. To keep them, give all "
        "particles.",
    )
