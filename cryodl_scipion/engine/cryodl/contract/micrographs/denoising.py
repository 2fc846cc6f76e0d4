# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of the command that denoises micrographs."""

import dataclasses
import typing

from ..fields import (
    DENOISING_METHODS,
    Paths,
    device_field,
    micrographs_field,
    model_field,
    names_field,
    output_folder_field,
    pixel_size_field,
    seed_field,
    threads_field,
)
from ..outputs import Counts, Outputs, Texts, output
from ..params import param
from ..search_fields import resolution_field


@dataclasses.dataclass(frozen=True)
class DenoiseMicrographsConfig:
    """Denoise micrographs for looking and picking, by a network that learns from the micrographs themselves."""

    micrographs: Paths = micrographs_field()
    pixel_size: float = pixel_size_field()
    output: str = output_folder_field("Folder for <micrograph>.mrc, and model/ if one was trained.")
    model: typing.Optional[str] = model_field(
        "Micrograph denoiser that was trained before.", default=None, none_means="one is trained on these micrographs"
    )
    method: str = param(
        "even-odd: learns to predict the average of odd frames from that of even ones (noise2noise). added-noise: the "
        "same from two halves that are made of one micrograph, by adding and subtracting noise of its own spectrum; it "
        "needs the micrographs alone. auto: even-odd where averages of even and odd frames are given.",
        default="auto",
        label="Method",
        choices=DENOISING_METHODS,
    )
    even: Paths = param(
        "Averages of the even frames, in the order of the micrographs.", default=(), label="Even averages", path="file"
    )
    odd: Paths = param(
        "Averages of the odd frames, in the order of the micrographs.", default=(), label="Odd averages", path="file"
    )
    training_micrographs: int = param(
        "Micrographs to learn from, spread over all.",
        default=10,
        label="Training micrographs",
        minimum=1,
        maximum=10000,
    )
    steps: typing.Optional[int] = param(
        "Training steps.",
        default=None,
        label="Training steps",
        minimum=1,
        maximum=10000000,
        none_means="the method's own number",
    )
    resolution: typing.Optional[float] = resolution_field(
        "Resolution limit of the output; finer detail is removed by a low-pass filter first.",
        "8 Å, or that of the pixels",
        minimum=1,
    )
    names: Paths = names_field()
    seed: int = seed_field()
    device: str = device_field()
    threads: int = threads_field()

    def check_together(self) -> typing.List[str]:
        """Sentences about fields that contradict each other, or belong together and are not; empty if all is well."""
        if bool(self.even) != bool(self.odd):
            return ["Even and odd averages (--even, --odd) belong together: give both or none."]
        if self.method == "even-odd" and not self.even and not self.model:
            return [
                "Method (--method) even-odd learns from averages of even and odd frames (--even, --odd): give "
                "them, or choose added-noise."
            ]
        return []


@dataclasses.dataclass(frozen=True, eq=False)
class DenoiseMicrographsOutputs(Outputs):
    """What `denoise-micrographs` wrote."""

    micrographs: str = output(
        "Folder of the denoised micrographs.", path="folder", becomes="outputMicrographs: SetOfMicrographs"
    )
    files: Texts = output("Denoised file of each micrograph.", path="file")
    counts: Counts = output("1 for each micrograph.")
    model: str = output("Model folder.", path="folder", becomes="outputModel: CryodlModel")
    method: str = output("How the model learnt: 'even-odd' or 'added-noise'.")
    resolution: float = output("Finest detail that the model keeps.", unit="Å")
    pixel_size: float = output("Pixel size of the files: that of the input.", unit="Å/px")
