# SPDX-License-Identifier: GPL-3.0-or-later
"""Small denoisers: a training of seconds on simulated particles."""

from particle_data import BOX

from cryodl.contract import Failure, Result
from cryodl.running.cli import main


def run_command(command, code=0, flags=(), **options):
    """A command of cryodl in this process. Returns its Result, or the failure's message if `code` is not 0."""
    words = [command, *flags]
    for name, value in dict(options, device="cpu", threads=1, result="result.json").items():
        words += ["--" + name.replace("_", "-"), *map(str, value if isinstance(value, (list, tuple)) else [value])]
    assert main(words) == code
    return Result.read("result.json") if code == 0 else Failure.read("failure.json").message


def train_denoiser(output="model", code=0, **options):
    usual = dict(particles="p.star", structure="map.mrc", output=output, steps=10, batch_size=4, network="swinconv")
    return run_command("train-denoiser", code, **dict(usual, **options))


def write_untrained_denoiser(folder, box=BOX, pixel_size=4.0, diameter=80.0, network="swinconv", training_particles=()):
    """A model folder of random weights. Returns its card."""
    import torch

    from cryodl.io.model import read_model, write_model
    from cryodl.particles.denoisers import denoiser_method
    from cryodl.particles.denoisers.scales import Statistics

    torch.manual_seed(0)
    built = denoiser_method(network).build(box)
    rings = torch.arange(box // 2 + 1.0)
    built.learn_scale(Statistics(0.5, 100 * torch.exp(-rings / 3), torch.ones(box // 2 + 1), 4.0))
    folder.mkdir(parents=True, exist_ok=True)
    write_model(
        folder,
        dict(
            kind="denoiser",
            name=folder.name,
            network=network,
            pixel_size=pixel_size,
            box=box,
            particle_diameter=diameter,
            structures=["map.mrc"],
            ctf="wiener",
            scales=[1.0],
            training_particles=list(training_particles),
        ),
        built.state_dict(),
    )
    return read_model(folder, "denoiser")[0]
