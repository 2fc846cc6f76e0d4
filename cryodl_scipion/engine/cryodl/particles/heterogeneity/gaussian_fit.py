# SPDX-License-Identifier: GPL-3.0-or-later
"""The Gaussian latent space: from a mean volume to principal motions of Gaussians, and a deep coordinate along them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import torch

from ...contract import FitHeterogeneityConfig
from ...core.frc import fsc
from ...latent.components import COARSE, ComponentFit, Setting, orthonormal
from ...latent.cube import resized_volume
from ...latent.expectation import expect
from ...latent.motion import Motion, find_motion, scaled_position
from .decoder import Decoder
from .deep import Training, train
from .gaussians import Gaussians, fit_gaussians
from .images import Images
from .inputs import Inputs
from .modes import Basis, Gradients, basis_of, gradients_of, place_anchors, principal_motions

TESTED = 2  # principal motions of a half that are tested on the other
MAXIMUM = 6000  # particles that principal motions are fitted to
MINIMUM = 20  # Gaussians that a mask must hold
GAUSSIANS = 400  # that represent the molecule
ANCHORS = 32  # that move them


@dataclasses.dataclass
class GaussianModel:
    """setting : components.Setting at the model's box. mean : (box, box, box). gaussians : all of the molecule's.
    basis : modes.Basis. found : modes.Gradients of some particles. agreement : (rings,) FSC of the Gaussians and the
    mean. images : beside the mean. radius : waves per box. voxel : Å. seed : of the
    decoder."""

    setting: Setting
    mean: np.ndarray
    gaussians: Gaussians
    basis: Basis
    found: Gradients
    agreement: np.ndarray
    images: Images
    radius: float
    voxel: float
    seed: int


def gaussian_model(
    setting: Setting,
    mean: np.ndarray,
    inputs: Inputs,
    config: FitHeterogeneityConfig,
    sigmas: np.ndarray,
    device: torch.device,
) -> GaussianModel:
    """The GaussianModel of a mean volume.

    Raises
    ------
    ValueError
        The mask holds hardly any of the molecule.
    """
    radius = min(COARSE, inputs.radius)
    box = 2 * int(np.ceil(radius)) + 4
    voxel = inputs.particles.box * inputs.particles.pixel_size / box
    mask = np.clip(resized_volume(setting.mask.astype(np.float32), box), 0, 1)
    small = dataclasses.replace(setting, box=box, mask=mask)
    mean = resized_volume(mean, box)
    images = Images(small, mean, radius, sigmas, device)
    gaussians = fit_gaussians(mean, GAUSSIANS, inputs.seed)
    moving = gaussians.subset(_inside(gaussians, mask))
    if len(moving) < MINIMUM:
        which = f"The mask {config.mask}" if config.mask else "The mask around the molecule"
        raise ValueError(
            f"{which} contains {len(moving)} of the {len(gaussians)} Gaussians of the molecule; at "
            f"least {MINIMUM} are needed. Give a wider mask."
        )
    basis = basis_of(moving, place_anchors(moving, ANCHORS, inputs.seed), box, voxel)
    rows = np.unique(np.linspace(0, len(inputs.particles) - 1, MAXIMUM).round().astype(int))
    found = gradients_of(images, basis.volumes, rows)
    agreement = fsc(gaussians.render(box), torch.from_numpy(mean)).numpy()
    return GaussianModel(small, mean, gaussians, basis, found, agreement, images, radius, voxel, inputs.seed)


def _inside(gaussians: Gaussians, mask: np.ndarray) -> torch.Tensor:
    """(N,) bool: the Gaussians in a mask (box, box, box)."""
    box = len(mask)
    position = (gaussians.centres.flip(1).round().long() + box // 2).clamp(0, box - 1)
    return torch.as_tensor(mask)[tuple(position.T)] > 0.5


def motion_of_gaussians(model: GaussianModel, tolerance: float) -> Motion:
    """The Motion by principal motions of the Gaussians, of each half of the particles tested on the other."""

    def components(rows: np.ndarray) -> np.ndarray:
        chosen = np.nonzero(np.isin(model.found.rows, rows))[0]
        factors = principal_motions(model.found, chosen, model.basis.prior, TESTED)
        return np.concatenate([model.mean[None], model.basis.changes(factors)])

    return find_motion(model.setting, model.mean, model.radius, components, tolerance)


def fit_gaussian_latent(
    model: GaussianModel, mean: np.ndarray, curve: np.ndarray, config: FitHeterogeneityConfig, moves: bool, folder: Path
) -> tuple[ComponentFit, dict]:
    """The ComponentFit, and what the record says of the Gaussians.

    Parameters
    ----------
    mean, curve : ndarray
        Mean volume (box, box, box) to the finest detail, and FSC of its halves.
    moves : bool
        Whether there is motion, so that a deep coordinate is trained.
    folder : Path
        Of checkpoints.
    """
    setting, basis = model.setting, model.basis
    every = np.arange(len(model.found.rows))
    factors = principal_motions(model.found, every, basis.prior, config.latent)
    changes = basis.changes(factors)
    axes, deviations, rotation = orthonormal(changes)
    cube, count = setting.cube(model.radius), setting.coefficients.count(model.radius)
    volumes = np.concatenate([model.mean[None], changes])
    sums = expect(
        setting.coefficients, setting.views, setting.rows(), cube, volumes, count, model.images.sigmas, None, False
    )
    latent = sums.latent @ rotation
    record = dict(
        gaussians=len(model.gaussians),
        moving_gaussians=len(basis.gaussians),
        anchors=len(basis.anchors),
        gaussians_fsc=[round(float(v), 4) for v in model.agreement],
    )
    if moves:
        first = factors @ (rotation[:, :1] / deviations[0])
        torch.manual_seed(model.seed)
        # a uniform coordinate has the variance 1 / 3
        decoder = Decoder(basis, first * 3**0.5, model.voxel).to(model.images.device)
        training = Training(model.images, decoder, np.random.default_rng(model.seed))
        trained = train(training, folder, setting.say)
        latent[:, 0] = scaled_position(trained.position, latent[:, 0])
        record.update(held_out_gain=trained.gain, rounds=trained.rounds)
    return ComponentFit(mean, axes, deviations, latent, curve, model.images.sigmas), record
