# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters and outputs of the commands that denoise micrographs."""

import dataclasses
import typing

from ..command import Command
from ..fields import (
    DENOISING_METHODS,
    Paths,
    micrographs_field,
    model_field,
    names_field,
    output_folder_field,
    pixel_size_field,
    seed_field,
)
from ..outputs import Counts, Details, Outputs, Texts, output
from ..params import param
from ..search_fields import resolution_field
from ..simulation_fields import leave_out_field
from ..training_fields import learning_rate_field, model_folder_field, steps_field


@dataclasses.dataclass(frozen=True)
class DenoiseMicrographsConfig:
    """Denoise micrographs for viewing and picking, with a network that learns from the micrographs themselves."""

    micrographs: Paths = micrographs_field()
    pixel_size: float = pixel_size_field()
    output: str = output_folder_field("Folder for <micrograph>.mrc, and model/ if one was trained.")
    model: typing.Optional[str] = model_field(
        "Trained micrograph denoiser: a folder, or general_denoiser, which is shipped and needs no training.",
        default=None,
        none_means="a new one is trained on these micrographs",
    )
    method: str = param(
        "even-odd: learn to predict the average of the odd frames from that of the even frames (noise2noise). "
        "added-noise: make two noisy versions of each micrograph, by adding and subtracting noise of its own "
        "spectrum, and learn to predict one from the other; no frame averages are needed. auto: even-odd if "
        "averages of even and odd frames are given, else added-noise.",
        default="auto",
        label="Method",
        choices=DENOISING_METHODS,
    )
    even: Paths = param(
        "Averages of the even frames, in the order of the micrographs.",
        default=(),
        label="Even-frame averages",
        path="file",
    )
    odd: Paths = param(
        "Averages of the odd frames, in the order of the micrographs.",
        default=(),
        label="Odd-frame averages",
        path="file",
    )
    training_micrographs: int = param(
        "Number of micrographs to learn from, spread over the set.",
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
        none_means="the default of the method",
    )
    resolution: typing.Optional[float] = resolution_field(
        "Resolution limit of the output; finer detail is removed by a low-pass filter first.",
        "8 Å, or the limit of the pixel size if that is coarser",
        minimum=1,
    )
    names: Paths = names_field()
    seed: int = seed_field()

    def check_together(self) -> typing.List[str]:
        """Problems between fields: values that contradict each other, or fields that must be given together; else
        empty."""
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
    method: str = output("Training method of the model: 'even-odd', 'added-noise' or 'simulated'.")
    resolution: float = output("Resolution limit of the output.", unit="Å")
    pixel_size: float = output("Pixel size of the files, which is that of the input.", unit="Å/px")


@dataclasses.dataclass(frozen=True)
class TrainMicrographDenoiserConfig:
    """Train a general micrograph denoiser on simulated micrographs of many structures."""

    output: str = model_folder_field()
    structures: Paths = param(
        "Maps (.mrc) or atomic models (.pdb, .cif, also .gz) to simulate from (glob, files or list file). A tenth of "
        "them is held out for validation.",
        default=(),
        label="Structures",
        path="file",
    )
    procedural: int = param(
        "Artificial assemblies (blobs, rings, shells, rods, membrane proteins ...) beside the structures; a quarter of "
        "the micrographs shows them.",
        default=60,
        label="Artificial assemblies",
        minimum=2,
        maximum=100000,
    )
    leave_out: Paths = leave_out_field(
        "File names of structures (without extensions) not to learn from; for testing on molecules that the model "
        "never saw."
    )
    simulated: int = param(
        "Simulated micrographs, 576 x 576 px of 3.4 to 7 Å; further ones are simulated for validation.",
        default=300,
        label="Simulated micrographs",
        minimum=2,
        maximum=1000000,
    )
    steps: typing.Optional[int] = steps_field("12000")
    learning_rate: typing.Optional[float] = learning_rate_field()
    seed: int = seed_field()


@dataclasses.dataclass(frozen=True, eq=False)
class TrainMicrographDenoiserOutputs(Outputs):
    """What `train-micrograph-denoiser` wrote."""

    model: str = output("Model folder.", path="folder")
    structures: int = output("Structures of files that were learnt from.")
    validation: Details = output(
        "correlation and wiener_correlation: mean correlation of the denoised micrograph, and of its Wiener filter, "
        "with the noise-free one, on simulated micrographs of structures that were held out."
    )


COMMANDS = (
    Command(
        "denoise-micrographs",
        DenoiseMicrographsConfig,
        DenoiseMicrographsOutputs,
        gpu=True,
        example="cryodl denoise-micrographs --micrographs 'mics/*.mrc' --pixel-size 1.77 --even 'even/*.mrc' "
        "--odd 'odd/*.mrc' --output denoised/\n"
        "To denoise further micrographs or continue an interrupted run, repeat the command; it uses the "
        "model in denoised/model.",
        kept="micrograph",
        shared="micrographs",
    ),
    Command(
        "train-micrograph-denoiser",
        TrainMicrographDenoiserConfig,
        TrainMicrographDenoiserOutputs,
        gpu=True,
        example="cryodl dev train-micrograph-denoiser --structures 'structures/*.pdb' --output models/denoiser",
        dev=True,
    ),
)
