# SPDX-License-Identifier: GPL-3.0-or-later
"""The Gaussian latent space: from a mean volume to principal motions of Gaussians, and a deep coordinate along them."""

import dataclasses
import json
import typing
from pathlib import Path

import numpy as np
import torch

from ...contract import FitHeterogeneityConfig
from ...core import devices, fourier
from ...io.model import save_tensors
from ...latent.components import COARSE, ComponentFit, Setting, orthonormal
from ...latent.cube import resized_volume
from ...latent.expectation import expect
from ...latent.motion import Motion, find_motion, scaled_position
from ...latent.record import Start
from .decoder import Decoder
from .gaussians import Gaussians, fit_gaussians
from .inputs import Inputs
from .modes import Basis, Batch, Gradients, Images, basis_of, gradients_of, place_anchors, principal_motions

CHECKPOINT = "gaussians.safetensors"
NODES = 33  # places of the latent coordinate
ROUNDS = 20  # at most
PATIENCE = 3  # rounds without a better held-out likelihood after which the training has converged
HELD_OUT = 10  # every tenth image: copies of one would tell of each other
RATE, NEUTRAL_RATE = 3e-3, 3e-4  # of the optimiser: the network's, and the neutral Gaussians'


@dataclasses.dataclass
class Trained:
    """position : (n,) expected latent coordinate of each particle. gain : logarithm of the likelihood of a held-out
    particle over that of the mean volume. rounds : until it was best."""

    position: np.ndarray
    gain: float
    rounds: int


class Training:
    """Expectation maximisation of one latent coordinate, uniform between -1 and 1.

    Every round draws each particle's coordinate from its posterior, and follows the gradient of the likelihood of the
    images in batches; then the posteriors are found anew from volumes at NODES positions. The likelihood weights each
    Fourier ring by the noise of the images and integrates errors of orientation, shift, contrast and CTF out.

    images: images.Images, beside the mean volume. decoder: decoder.Decoder, on the images' device."""

    def __init__(self, images: Images, decoder: Decoder, rng: np.random.Generator) -> None:
        self.images, self.decoder, self.rng = images, decoder, rng
        self.rows = images.setting.rows()
        self.nodes = torch.linspace(-1, 1, NODES, device=images.device)[:, None]
        self.held = images.setting.image % HELD_OUT == 0
        own = ("centres", "strength", "raw_width")
        groups = [
            dict(params=[p for name, p in decoder.named_parameters() if (name in own) == neutral], lr=rate)
            for neutral, rate in ((False, RATE), (True, NEUTRAL_RATE))
        ]
        self.optimiser = torch.optim.Adam(groups)

    def expect(self, weight: np.ndarray) -> np.ndarray:
        """(n, NODES) logarithms of the likelihoods. weight : (NODES,) share of the particles at each node: of the mean
        volume, what the Gaussians do not show is held still."""
        with torch.no_grad():
            volumes = self.decoder(self.nodes).render(self.images.box).cpu()
            shown = torch.einsum("k,kzyx->zyx", torch.as_tensor(weight, dtype=torch.float32), volumes)
            self.images.set_static(self.images.mean - shown.numpy())
            tables = self.images.tables(volumes)
            return self._over_batches(lambda batch: -batch.misfit(self.images.slices(batch, tables)))

    def without(self) -> np.ndarray:
        """(n,) logarithms of the likelihoods of the mean volume."""
        self.images.set_static(self.images.mean)
        return self._over_batches(lambda batch: -batch.misfit(torch.zeros_like(batch.base)))

    def _over_batches(self, work: typing.Callable[[Batch], torch.Tensor]) -> np.ndarray:
        return np.concatenate([work(batch).cpu().numpy() for batch in self.images.batches(self.rows)])

    def maximise(self, posterior: np.ndarray) -> None:
        """One pass of the optimiser over the particles that are not held out. posterior : (n, NODES)."""
        images, own = self.images, self.rng.permutation(self.rows[~self.held])
        for batch in images.batches(own):
            self.optimiser.zero_grad()
            slices = self.decoder(self._drawn(posterior[batch.rows])).project(
                batch.matrices, images.y, images.x, images.box
            )
            (batch.misfit(slices).mean() + self.decoder.negative_log_prior(self.nodes[::4]) / len(own)).backward()
            self.optimiser.step()

    def _drawn(self, posterior: np.ndarray) -> torch.Tensor:
        """(m, 1) coordinates from posteriors (m, NODES)."""
        total = posterior.cumsum(1)
        node = (total < self.rng.random((len(total), 1)) * total[:, -1:]).sum(1)
        position = -1 + (node + self.rng.uniform(-0.5, 0.5, len(node))) * (2 / (NODES - 1))
        return torch.as_tensor(np.clip(position, -1, 1), dtype=torch.float32, device=self.nodes.device)[:, None]


def train(training: Training, folder: Path, say: typing.Callable[[str], None]) -> Trained:
    """Train until the likelihood of held-out particles grows no more, and keep the best; a checkpoint is written in
    every round, and the next run continues after it. folder: of the checkpoint. say: told a sentence each round."""
    state: dict[str, typing.Any] = dict(round=0, best=0, gain=-np.inf)
    without, decoder = training.without(), training.decoder
    best = {k: v.clone() for k, v in decoder.state_dict().items()}
    weight = np.full(NODES, 1 / NODES)
    if (folder / CHECKPOINT).exists():
        state, best, weight = _read(folder / CHECKPOINT, training)
        say(f"deep latent: continues after round {state['round']}")
    posterior, gain = _posterior(training, weight, without)
    while True:
        if gain > state["gain"]:
            state.update(best=state["round"], gain=gain)
            best = {k: v.clone() for k, v in decoder.state_dict().items()}
        say(f"deep latent, round {state['round']}: held-out gain {gain:.4f} per particle")
        if state["round"] >= min(ROUNDS, state["best"] + PATIENCE):
            break
        training.maximise(posterior)
        weight = posterior.mean(0)
        posterior, gain = _posterior(training, weight, without)
        state["round"] += 1
        _write(folder / CHECKPOINT, training, state, best, weight)
    decoder.load_state_dict(best)
    posterior, gain = _posterior(training, posterior.mean(0), without)
    return Trained(posterior @ training.nodes[:, 0].cpu().numpy(), gain, state["best"])


def _posterior(training: Training, weight: np.ndarray, without: np.ndarray) -> tuple[np.ndarray, float]:
    """(n, NODES) posterior of the coordinates, and the mean gain of the held-out particles."""
    value = training.expect(weight)
    highest = value.max(axis=1, keepdims=True)
    posterior = np.exp(value - highest)
    total = posterior.sum(axis=1, keepdims=True)
    return posterior / total, float(((highest + np.log(total / NODES))[:, 0] - without)[training.held].mean())


def _write(path: Path, training: Training, state: dict, best: dict, weight: np.ndarray) -> None:
    tensors = {f"decoder.{k}": v for k, v in training.decoder.state_dict().items()}
    tensors.update({f"best.{k}": v for k, v in best.items()}, weight=torch.as_tensor(weight))
    for index, values in training.optimiser.state_dict()["state"].items():
        tensors.update({f"optimiser.{index}.{k}": torch.as_tensor(v) for k, v in values.items()})
    save_tensors(path, tensors, dict(state=json.dumps(state), generator=json.dumps(training.rng.bit_generator.state)))


def _read(path: Path, training: Training) -> tuple[dict, dict, np.ndarray]:
    """State, best weights and node weights of a checkpoint; the training is put where it was."""
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        said, tensors = file.metadata(), {k: file.get_tensor(k) for k in file.keys()}
    part = lambda head: {k[len(head) :]: v for k, v in tensors.items() if k.startswith(head)}
    training.decoder.load_state_dict(part("decoder."))
    values: dict[int, dict[str, torch.Tensor]] = {}
    for key, tensor in part("optimiser.").items():
        index, _, name = key.partition(".")
        values.setdefault(int(index), {})[name] = tensor
    training.optimiser.load_state_dict(dict(training.optimiser.state_dict(), state=values))
    training.rng.bit_generator.state = json.loads(said["generator"])
    device = training.nodes.device
    return json.loads(said["state"]), {k: v.to(device) for k, v in part("best.").items()}, tensors["weight"].numpy()


TESTED = 2  # principal motions of a half that are tested on the other
MAXIMUM = 6000  # particles that principal motions are fitted to
MINIMUM = 20  # Gaussians that a mask must hold
GAUSSIANS = 400  # that represent the molecule
ANCHORS = 32  # that move them


@dataclasses.dataclass
class GaussianModel:
    """setting : components.Setting at the model's box. mean : (box, box, box). gaussians : all of the molecule's. basis
    : modes.Basis. found : modes.Gradients of some particles. agreement : (rings,) FSC of the Gaussians and the mean.
    images : beside the mean. radius : waves per box. voxel : Å. seed : of the decoder."""

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


def gaussian_model(start: Start, inputs: Inputs, config: FitHeterogeneityConfig) -> GaussianModel:
    """The GaussianModel of a mean volume. Raises ValueError: the mask holds hardly any of the molecule."""
    setting, radius = start.setting, min(COARSE, inputs.radius)
    box = 2 * int(np.ceil(radius)) + 4
    voxel = inputs.particles.box * inputs.particles.pixel_size / box
    mask = np.clip(resized_volume(setting.changing.astype(np.float32), box), 0, 1)
    small = dataclasses.replace(setting, box=box, mask=mask, focus=1.0)
    mean = resized_volume(start.mean, box)
    images = Images(small, mean, radius, start.sigmas, devices.choose_device())
    gaussians = fit_gaussians(mean, GAUSSIANS, inputs.seed)
    place = (gaussians.centres.flip(1).round().long() + box // 2).clamp(0, box - 1)
    moving = gaussians.subset(torch.as_tensor(mask)[tuple(place.T)] > 0.5)
    if len(moving) < MINIMUM:
        which = f"The mask {config.mask}" if config.mask else "The mask around the molecule"
        raise ValueError(
            f"{which} contains {len(moving)} of the {len(gaussians)} Gaussians of the molecule; at "
            f"least {MINIMUM} are needed. Give a wider mask."
        )
    basis = basis_of(moving, place_anchors(moving, ANCHORS, inputs.seed), box, voxel)
    rows = np.unique(np.linspace(0, len(inputs.particles) - 1, MAXIMUM).round().astype(int))
    found = gradients_of(images, basis.volumes, rows)
    agreement = fourier.fsc(gaussians.render(box), torch.from_numpy(mean)).numpy()
    return GaussianModel(small, mean, gaussians, basis, found, agreement, images, radius, voxel, inputs.seed)


def motion_of_gaussians(model: GaussianModel, tolerance: float) -> Motion:
    """The Motion by principal motions of the Gaussians, of each half of the particles tested on the other."""

    def components(rows: np.ndarray) -> np.ndarray:
        factors = principal_motions(
            model.found, np.nonzero(np.isin(model.found.rows, rows))[0], model.basis.prior, TESTED
        )
        return np.concatenate([model.mean[None], model.basis.changes(factors)])

    return find_motion(model.setting, model.mean, model.radius, components, tolerance)


def fit_gaussian_latent(
    model: GaussianModel, mean: np.ndarray, curve: np.ndarray, config: FitHeterogeneityConfig, moves: bool, folder: Path
) -> tuple[ComponentFit, dict]:
    """The ComponentFit, and what the record says of the Gaussians. mean, curve: mean volume (box, box, box) to the
    finest detail, and FSC of its halves. moves: whether a deep coordinate is trained. folder: of checkpoints."""
    setting, basis = model.setting, model.basis
    factors = principal_motions(model.found, np.arange(len(model.found.rows)), basis.prior, config.latent)
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
        trained = train(Training(model.images, decoder, np.random.default_rng(model.seed)), folder, setting.say)
        latent[:, 0] = scaled_position(trained.position, latent[:, 0])
        record.update(held_out_gain=trained.gain, rounds=trained.rounds)
    return ComponentFit(mean, axes, deviations, latent, curve, model.images.sigmas), record
