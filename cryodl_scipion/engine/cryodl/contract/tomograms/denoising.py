# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of the command that denoises tomograms and fills their missing wedge."""

import dataclasses
import typing

from ..fields import Paths, device_field, model_field, network_field, output_folder_field, seed_field, threads_field
from ..networks import TOMOGRAM_DENOISER_NETWORKS
from ..outputs import Details, Numbers, Outputs, Texts, output
from ..params import param
from ..training_fields import steps_field
from .tilt_fields import tilt_problems, tilt_series_field
from .tomogram_fields import memory_field, tomogram_names_field, tomogram_pixel_size_field, tomograms_field


@dataclasses.dataclass(frozen=True)
class DenoiseTomogramsConfig:
    """Denoise tomograms, and fill their missing wedge, by a network that learns from their even and odd halves."""

    output: str = output_folder_field(
        "Folder for <tomogram>.mrc, denoise.json, and model/ if one was trained. Finished tomograms in it are not "
        "denoised again."
    )
    tomograms: Paths = tomograms_field(
        "Half tomograms with even and odd in their names (tomo1_even.mrc and tomo1_odd.mrc; also _EVN and _ODD, _half1 "
        "and _half2), or whole tomograms, which need a model.",
        optional=True,
    )
    even: Paths = param(
        "Tomograms of the even frames or tilts, as many as --odd.", default=(), label="Even halves", path="file"
    )
    odd: Paths = param(
        "Tomograms of the odd frames or tilts, paired with the even ones by their names; in their order where --names "
        "are given.",
        default=(),
        label="Odd halves",
        path="file",
    )
    model: typing.Optional[str] = model_field(
        "Tomogram denoiser that was trained before.", default=None, none_means="one is trained on these tomograms"
    )
    fill_wedge: bool = param(
        "Also predict the Fourier coefficients of the missing wedge. They are a prediction of the network: use them "
        "for viewing, not for measurements.",
        default=False,
        label="Fill the missing wedge",
    )
    tilt_min: float = tilt_series_field("tilt_min")
    tilt_max: float = tilt_series_field("tilt_max")
    network: str = network_field("Network to train.", "unet3d", choices=TOMOGRAM_DENOISER_NETWORKS, expert=True)
    training_tomograms: int = param(
        "Tomograms to learn from, spread over all.", default=10, label="Training tomograms", minimum=1, maximum=10000
    )
    steps: typing.Optional[int] = steps_field("1000, and 2000 to fill the wedge")
    halves: bool = param(
        "Also write the two denoised halves, <tomogram>_even.mrc and <tomogram>_odd.mrc.",
        default=False,
        label="Write denoised halves",
        expert=True,
    )
    pixel_size: typing.Optional[float] = tomogram_pixel_size_field()
    memory: float = memory_field()
    names: Paths = tomogram_names_field()
    seed: int = seed_field()
    device: str = device_field()
    threads: int = threads_field()

    def check_together(self) -> typing.List[str]:
        """Sentences about fields that contradict each other, or belong together and are not; empty if all is well."""
        if bool(self.even) != bool(self.odd):
            return ["Even and odd halves (--even, --odd) belong together: give both or none."]
        if bool(self.even) == bool(self.tomograms):
            return [
                "Give either the halves (--even and --odd), or tomograms (--tomograms) whose names tell the halves "
                "apart."
            ]
        return tilt_problems(self)


@dataclasses.dataclass(frozen=True, eq=False)
class DenoiseTomogramsOutputs(Outputs):
    """What `denoise-tomograms` wrote."""

    tomograms: str = output(
        "Folder of the denoised tomograms.", path="folder", becomes="outputTomograms: SetOfTomograms"
    )
    files: Texts = output("Denoised file of each tomogram.", path="file")
    even: Texts = output("Denoised even half of each tomogram, if it was asked for.", path="file")
    odd: Texts = output("Denoised odd half of each tomogram, if it was asked for.", path="file")
    model: str = output("Model folder.", path="folder", becomes="outputModel: CryodlModel")
    fills_wedge: bool = output("Whether the model fills the missing wedge.")
    pixel_sizes: Numbers = output("Of each tomogram: that of the input.", unit="Å/px")
    controls: Details = output("Of each tomogram with halves: what the network keeps of them and makes of noise.")
