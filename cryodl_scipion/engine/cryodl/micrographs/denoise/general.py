# SPDX-License-Identifier: GPL-3.0-or-later
"""Training data of the general micrograph denoiser: simulated micrographs with their noise-free images. A network that
learnt from one set of micrographs knows its particles, ice and noise. This one must do without: it is shown many
structures, pixel sizes, CTFs, strengths and faults of files (blind denoising by synthesised degradations, Zhang et al.
2022). It sees what the other denoisers see, a micrograph with white noise and its Wiener filter."""

import dataclasses
import typing
from pathlib import Path

import numpy as np
import torch

from ...core.fourier import filtered
from ...io.files import read_kept, whole_file
from ...learning.networks import GENERAL_WIDTHS, WienerUNet
from ...learning.task import NetworkTask
from ...simulate.denoising_scenes import MADE_UP_EXTENTS, VOXEL_SIZE, DenoisingScene, denoising_scene
from ...simulate.pool import EXTENT_PX, PoolMember
from ..normalize import rescale_micrograph, smooth_background
from .scaling import BACKGROUND, whole_view, working_images

CROP = 128  # px
BATCH = 8
RATE = 0.002
# Variance of a crop's signal over that of its noise below which its error counts less and less: there is next to
# nothing to be seen in it.
FAINT = 0.002


@dataclasses.dataclass(frozen=True)
class CleanExample:
    """seen: (2, h, w), a micrograph and its Wiener filter, as the network sees them. wanted: (1, h, w), its signal in
    the same units. strength: of the filtered micrograph, in units of its noise. float16 tensors."""

    seen: torch.Tensor
    wanted: torch.Tensor
    strength: float


def example_of(scene: DenoisingScene) -> CleanExample:
    """A simulated micrograph as the network sees it. Raises ValueError as working_images."""
    image = scene.image.numpy()
    (working,) = working_images([image], 1.0)
    views = whole_view(working)
    _, valid = rescale_micrograph(image, 1.0)
    flat = (scene.signal - smooth_background(scene.signal, valid, BACKGROUND)) * working.mask
    wanted = filtered(flat, 1 / (working.amplitude * working.scale)) / views.strength
    return CleanExample(torch.cat([views.images, views.wiener]).half(), wanted[None].half(), views.strength)


def clean_examples(
    groups: typing.Sequence[typing.Sequence[PoolMember]], count: int, seeds: tuple[int, int], folder: Path
) -> typing.Iterator[CleanExample]:
    """Examples of `count` simulated micrographs, one generated at a time, and kept in a folder for a continued run.
    groups: structures of files, and artificial assemblies, which take turns. Same arguments, same examples."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        path = folder / f"{seeds[1]}-{index:05d}.npz"
        if not path.exists():
            made = _example(groups, index, seeds)
            with whole_file(path) as temporary, open(temporary, "wb") as file:
                np.savez(file, seen=made.seen.numpy(), wanted=made.wanted.numpy(), strength=made.strength)
        stored = read_kept(path)
        yield CleanExample(
            torch.from_numpy(stored["seen"]), torch.from_numpy(stored["wanted"]), float(stored["strength"])
        )


def _example(groups: typing.Sequence[typing.Sequence[PoolMember]], index: int, seeds: tuple[int, int]) -> CleanExample:
    """One example. A scene in which nothing can be measured is replaced by the next."""
    files, made_up = groups
    other = [member.density for member in made_up[:12]]
    for attempt in range(20):
        rng = np.random.default_rng((*seeds, index, attempt))
        if files and (index % 4 or not made_up):
            member, voxel_size = files[int(rng.integers(len(files)))], VOXEL_SIZE
        else:
            member = made_up[int(rng.integers(len(made_up)))]
            member = dataclasses.replace(member, extent=float(rng.uniform(*MADE_UP_EXTENTS)))
            voxel_size = member.extent / EXTENT_PX
        try:
            return example_of(denoising_scene(member, voxel_size, other, rng))
        except ValueError as error:
            reason = error
    raise ValueError(f"No micrograph could be simulated that can be denoised: {reason}")


class GeneralTask(NetworkTask):
    """A network on CleanExamples. The metric is the mean correlation of its answers with the signal."""

    example_name, default_steps = "crops", 12000

    def __init__(
        self, training: typing.Sequence[CleanExample], validation: typing.Sequence[CleanExample], device: torch.device
    ) -> None:
        self.training, self.validation, self.device = training, validation, device
        self.learn("denoiser", WienerUNet(GENERAL_WIDTHS), RATE, torch.channels_last)

    def batch(self, rng: np.random.Generator) -> list[torch.Tensor]:
        """What is seen (b, 2, s, s), what is wanted (b, 1, s, s), and the strength (b, 1, 1, 1) of random crops."""
        batch = []
        for index in rng.integers(len(self.training), size=BATCH):
            example = self.training[index]
            top, left = (int(rng.integers(n - CROP + 1)) for n in example.seen.shape[1:])
            both = torch.cat([example.seen, example.wanted])[:, top : top + CROP, left : left + CROP].float()
            both = torch.rot90(both, int(rng.integers(4)), (1, 2))
            both = both.flip(2) if rng.random() < 0.5 else both
            batch.append((both[:2], both[2:], torch.full((1, 1, 1), example.strength)))
        return [torch.stack(x) for x in zip(*batch)]

    def loss(self, output: torch.Tensor, *batch: torch.Tensor) -> torch.Tensor:
        """Mean squared error of each crop over the variance of its signal."""
        _, wanted, strength = batch
        error = ((output - wanted) * strength).square().mean((1, 2, 3))
        return (error / ((wanted * strength).square().mean((1, 2, 3)) + FAINT)).mean()

    def validate(self) -> dict[str, float]:
        """Mean correlations with the signal, of the network's answers and of the Wiener filter alone."""
        found = []
        network = typing.cast("WienerUNet", self.networks["denoiser"].eval())
        for example in self.validation:
            side = min(n // network.multiple * network.multiple for n in example.seen.shape[1:])
            seen = example.seen[None, :, :side, :side].float()
            with torch.inference_mode():
                answer = network(seen.to(self.device)).float().cpu()
            wanted = example.wanted[None, :, :side, :side].float()
            found.append([np.corrcoef(image.ravel(), wanted.ravel())[0, 1] for image in (answer, seen[:, 1:])])
        correlation, wiener = np.mean(found, axis=0)
        return {"metric": float(correlation), "correlation": float(correlation), "wiener_correlation": float(wiener)}
