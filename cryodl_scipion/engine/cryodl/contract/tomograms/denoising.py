# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of the command that denoises tomograms and fills in their missing wedge."""

import dataclasses
import typing

from ..command import Command, Details, Numbers, Outputs, Texts, output
from ..fields import Paths, model_field, network_field, output_folder_field, seed_field, steps_field
from ..networks import TOMOGRAM_DENOISER_NETWORKS
from ..params import Config, found, param
from .tomogram_fields import (
    tilt_problems,
    tilt_series_field,
    tomogram_names_field,
    tomogram_pixel_size_field,
    tomograms_field,
)


@dataclasses.dataclass(frozen=True)
class DenoiseTomogramsConfig(Config):
    """Denoise tomograms and fill in their missing wedge, with a network that learns from their even and odd halves."""

    output: str = output_folder_field(
        "Folder for <tomogram>.mrc, denoise.json, and model/ if one was trained. Tomograms already denoised into "
        "this folder are not denoised again."
    )
    tomograms: Paths = tomograms_field(
        "Half tomograms with even and odd in their names (tomo1_even.mrc and tomo1_odd.mrc; also _EVN and _ODD, _half1 "
        "and _half2), or whole tomograms, which need a model.",
        default=(),
    )
    even: Paths = param(
        "Tomograms reconstructed from the even frames or tilts, as many as --odd.",
        default=(),
        label="Even halves",
        path="file",
    )
    odd: Paths = param(
        "Tomograms reconstructed from the odd frames or tilts, paired with the even ones by name, or by order if "
        "--names are given.",
        default=(),
        label="Odd halves",
        path="file",
    )
    model: typing.Optional[str] = model_field(
        "Trained tomogram denoiser.", default=None, none_means="a new one is trained on these tomograms"
    )
    fill_wedge: bool = param(
        "Also predict the Fourier coefficients in the missing wedge. They are not measured data: use them for "
        "viewing, not for measurements.",
        default=False,
        label="Fill the missing wedge",
    )
    tilt_min: float = tilt_series_field("tilt_min")
    tilt_max: float = tilt_series_field("tilt_max")
    network: str = network_field("Network to train.", default="unet3d", choices=TOMOGRAM_DENOISER_NETWORKS, expert=True)
    training_tomograms: int = param(
        "Number of tomograms to learn from, spread over the set.",
        default=10,
        label="Training tomograms",
        minimum=1,
        maximum=10000,
    )
    steps: typing.Optional[int] = steps_field(none_means="1000, or 2000 to fill in the wedge")
    halves: bool = param(
        "Also write the two denoised halves, <tomogram>_even.mrc and <tomogram>_odd.mrc.",
        default=False,
        label="Write denoised halves",
        expert=True,
    )
    pixel_size: typing.Optional[float] = tomogram_pixel_size_field()
    names: Paths = tomogram_names_field()
    seed: int = seed_field()

    def check_together(self) -> typing.List[str]:
        return found(
            (
                bool(self.even) != bool(self.odd),
                "Even and odd halves (--even, --odd) belong together: give both or none.",
            ),
            (
                bool(self.even) == bool(self.tomograms),
                "Give either the halves (--even and --odd), or tomograms (--tomograms) whose names tell the halves "
                "apart.",
            ),
        )[:1] or tilt_problems(self)


@dataclasses.dataclass(frozen=True, eq=False)
class DenoiseTomogramsOutputs(Outputs):
    """What `denoise-tomograms` wrote."""

    tomograms: str = output(
        "Folder of the denoised tomograms.", path="folder", becomes="outputTomograms: SetOfTomograms"
    )
    files: Texts = output("Denoised file of each tomogram.", path="file")
    even: Texts = output("Denoised even half of each tomogram, if requested.", path="file")
    odd: Texts = output("Denoised odd half of each tomogram, if requested.", path="file")
    model: str = output("Model folder.", path="folder", becomes="outputModel: CryodlModel")
    fills_wedge: bool = output("Whether the model fills in the missing wedge.")
    pixel_sizes: Numbers = output("Pixel size of each tomogram, which is that of the input.", unit="Å/px")
    controls: Details = output(
        "For each tomogram with halves: how much of their signal the network keeps, and its response to noise."
    )


COMMANDS = (
    Command(
        "denoise-tomograms",
        DenoiseTomogramsConfig,
        DenoiseTomogramsOutputs,
        gpu=True,
        example="cryodl denoise-tomograms --even 'halves/*_EVN.mrc' --odd 'halves/*_ODD.mrc' --output denoised",
        kept="tomogram",
    ),
)
