# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of the command that denoises tomograms and fills in their missing wedge."""

import typing

from .. import fields, networks
from ..command import Command, Config, Details, Numbers, Outputs, Paths, Texts, found, output, param
from . import tomogram_fields


class DenoiseTomogramsConfig(Config):
    """Denoise tomograms and fill in their missing wedge, with a network that learns from their even and odd halves."""

    output: str = fields.output_folder(
        "Folder for <tomogram>.mrc, denoise.json, and model/ if one was trained. Tomograms already denoised into this "
        "folder are not denoised again."
    )
    tomograms: Paths = tomogram_fields.tomograms(
        "Half tomograms with even and odd in their names (tomo1_even.mrc and tomo1_odd.mrc; also _EVN and _ODD, "
        "_half1 and _half2), or whole tomograms, which need a model.",
        default=(),
    )
    even: Paths = param(
        "Tomograms reconstructed from the even frames or tilts, as many as --odd.", (), label="Even halves", path="file"
    )
    odd: Paths = param(
        "Tomograms reconstructed from the odd frames or tilts, paired with the even ones by name, or by order if "
        "--names are given.",
        (),
        label="Odd halves",
        path="file",
    )
    model: typing.Optional[str] = fields.model(
        "Trained tomogram denoiser.", default=None, none_means="a new one is trained on these tomograms"
    )
    fill_wedge: bool = param(
        "Also predict the Fourier coefficients in the missing wedge. They are not measured data: use them for "
        "viewing, not for measurements.",
        False,
        label="Fill the missing wedge",
    )
    tilt_min: float = tomogram_fields.series_tilt_min()
    tilt_max: float = tomogram_fields.series_tilt_max()
    network: str = fields.network(
        "Network to train.", default="unet3d", choices=networks.TOMOGRAM_DENOISER_NETWORKS, expert=True
    )
    training_tomograms: int = param("Number of tomograms to learn from, spread over the set.", 10, limits=(1, 10000))
    steps: typing.Optional[int] = fields.steps(none_means="1000, or 2000 to fill in the wedge")
    halves: bool = param(
        "Also write the two denoised halves, <tomogram>_even.mrc and <tomogram>_odd.mrc.",
        False,
        label="Write denoised halves",
        expert=True,
    )
    pixel_size: typing.Optional[float] = tomogram_fields.tomogram_pixel_size()
    names: Paths = tomogram_fields.tomogram_names()
    seed: int = fields.seed()

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
        )[:1] or tomogram_fields.tilt_problems(self)


class DenoiseTomogramsOutputs(Outputs):
    tomograms: str = output(
        "Folder of the denoised tomograms.", path="folder", becomes="outputTomograms: SetOfTomograms"
    )
    files: Texts = output("Denoised file of each tomogram.", path="file")
    even: Texts = output("Denoised even half of each tomogram, if requested.", path="file")
    odd: Texts = output("Denoised odd half of each tomogram, if requested.", path="file")
    model: str = output("Model folder.", path="folder", becomes="outputModel: CryodlModel")
    fills_wedge: bool = output("Whether the model fills in the missing wedge.")
    pixel_sizes: Numbers = output("Pixel size of each tomogram, which is that of the input.", "Å/px")
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
