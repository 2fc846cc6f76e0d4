# SPDX-License-Identifier: GPL-3.0-or-later
"""What is done with micrographs themselves: assessing, CTF, denoising, extraction of particles."""

import typing

from .. import fields
from ..command import (
    Command,
    Config,
    Counts,
    Details,
    ImagesOutputs,
    Outputs,
    Paths,
    Texts,
    TrainingOutputs,
    even_problems,
    found,
    output,
    param,
)
from . import pick_fields


class AssessMicrographsConfig(pick_fields.OnMicrographs):
    """Measure micrographs and split them into good and bad ones: no particles, thick or crystalline ice, drift, dirt,
    carbon."""

    particle_diameter: float = pick_fields.particle_diameter(
        help="Diameter of the smallest circle around the particle; contamination is detected at this scale."
    )
    output: str = fields.output_folder(
        "Folder for micrographs.csv, good.txt, bad.txt and one <micrograph>.json each. An interrupted run continues "
        "here."
    )
    coordinates: typing.Optional[str] = param(
        "Folder (or file) with picks and their scores.",
        None,
        label="Picks",
        path="folder",
        none_means="particles and scores are not measured",
    )
    minimum_particles: typing.Optional[int] = param(
        "Micrographs with fewer picks are rejected.",
        None,
        label="Minimum number of particles",
        limits=(0, 1000000),
        none_means="no limit",
    )
    minimum_score: typing.Optional[float] = param(
        "Micrographs with a lower mean score are rejected.",
        None,
        label="Minimum mean score",
        limits=(0, 1),
        none_means="no limit",
    )
    maximum_contaminated: typing.Optional[float] = param(
        "Micrographs with more contaminated area are rejected.",
        None,
        "%",
        label="Maximum contaminated area",
        limits=(0, 100),
        none_means="those that have lost too many positions to contamination",
    )
    maximum_carbon: typing.Optional[float] = param(
        "Micrographs with more carbon are rejected.",
        50.0,
        "%",
        label="Maximum carbon area",
        limits=(0, 100),
        none_means="no limit",
    )
    maximum_gradient: typing.Optional[float] = param(
        "Micrographs with a stronger background gradient are rejected. It is the range of the background (5th to 95th "
        "percentile) over the noise's standard deviation, which indicates uneven ice.",
        None,
        "noise sigma",
        label="Maximum ice gradient",
        limits=(0, 1000),
        none_means="no limit",
    )


class AssessMicrographsOutputs(Outputs):
    folder: str = output("Folder of the measurements.", path="folder")
    table: str = output("micrographs.csv, with all micrographs measured in this folder.", path="file")
    metrics: typing.Dict[str, Details] = output("Metrics of each micrograph, whether it is good or bad, and why.")
    good: typing.List[str] = output("Names of the good micrographs.", becomes="goodMicrographs: SetOfMicrographs")
    bad: typing.List[str] = output("Names of the bad micrographs.", becomes="badMicrographs: SetOfMicrographs")


class EstimateCtfConfig(pick_fields.OnMicrographs):
    """Estimate defocus and astigmatism of micrographs from the Thon rings in their power spectra."""

    voltage: float = param("Acceleration voltage of the microscope.", unit="kV", limits=(20, 1000))
    spherical_aberration: float = param(
        "Spherical aberration of the microscope.", label="Cs", unit="mm", limits=(0, 10)
    )
    output: str = fields.output_file(
        "STAR file for the results. Power spectra and fits are written to a folder beside it, of the same name "
        "without .star. An interrupted run continues there."
    )
    amplitude_contrast: float = param("Amplitude contrast as a fraction of the total contrast.", 0.1, limits=(0, 1))
    minimum_defocus: float = param(
        "Minimum defocus to search; positive values are underfocus.", 3000.0, "Å", limits=(500, 200000)
    )
    maximum_defocus: float = param("Maximum defocus to search.", 50000.0, "Å", limits=(500, 200000))
    maximum_astigmatism: float = param(
        "Maximum difference of DefocusU and DefocusV to search. 0: no astigmatism.",
        2000.0,
        "Å",
        limits=(0, 20000),
        expert=True,
    )
    lowest_resolution: float = param(
        "Lower resolutions are not fitted, since the signal of the particles there is stronger than the Thon rings.",
        30.0,
        "Å",
        limits=(8, 100),
    )
    highest_resolution: float = param(
        "Higher resolutions are not fitted. The pixel size also limits the fit.", 5.0, "Å", limits=(2, 30)
    )
    find_phase_shift: bool = param(
        "Also search the phase shift of a phase plate; it is 0 where the rings do not need one. The search takes "
        "longer.",
        False,
        label="Search phase shift",
        expert=True,
    )

    def check_together(self) -> typing.List[str]:
        finest = max(self.highest_resolution, 2 * self.pixel_size / 0.95)
        what = (
            "highest resolution (--highest-resolution)"
            if finest == self.highest_resolution
            else "finest resolution that the pixel size allows"
        )
        return found(
            (
                self.maximum_defocus <= self.minimum_defocus,
                f"Maximum defocus (--maximum-defocus) is {self.maximum_defocus:g} Å, not above the minimum "
                f"defocus (--minimum-defocus) of {self.minimum_defocus:g} Å.",
            ),
            (
                self.lowest_resolution < 1.5 * finest,
                f"Lowest resolution (--lowest-resolution) is {self.lowest_resolution:g} Å; it must be at least 1.5 "
                f"times the {what}, {finest:.3g} Å, so that there are Thon rings in between.",
            ),
            (not self.output.lower().endswith(".star"), f"Output (--output) is {self.output}; it must end in .star."),
        )


class EstimateCtfOutputs(Outputs):
    star: str = output("STAR file with the defocus of each micrograph.", path="file")
    folder: str = output("Folder of the fits and spectra.", path="folder")
    spectra: Texts = output("Power spectrum and fit side by side, of each micrograph.", path="file")
    fits: Details = output(
        "By micrograph: defocus_u, defocus_v, resolution (Å), defocus_angle, phase_shift (degrees), correlation and "
        "strength of the fit.",
        becomes="outputCTF: SetOfCTF, outputMicrographs: SetOfMicrographs",
    )


class DenoiseMicrographsConfig(pick_fields.OnMicrographs):
    """Denoise micrographs for viewing, with a network that learns from the micrographs themselves."""

    output: str = fields.output_folder("Folder for <micrograph>.mrc, and model/ if one was trained.")
    model: typing.Optional[str] = fields.model(
        "Trained micrograph denoiser: a folder, or general_denoiser, which is shipped and needs no training.",
        default=None,
        none_means="a new one is trained on these micrographs",
    )
    method: str = param(
        "even-odd: learn to predict the average of the odd frames from that of the even frames (noise2noise). "
        "added-noise: make two noisy versions of each micrograph, by adding and subtracting noise of its own "
        "spectrum, and learn to predict one from the other; no frame averages are needed. auto: even-odd if averages "
        "of even and odd frames are given, else added-noise.",
        "auto",
        choices=("auto", "even-odd", "added-noise"),
    )
    even: Paths = param(
        "Averages of the even frames, with the names of the micrographs or longer ones (a_EVN).",
        (),
        label="Even-frame averages",
        path="file",
    )
    odd: Paths = param(
        "Averages of the odd frames, with the names of the micrographs or longer ones (a_ODD).",
        (),
        label="Odd-frame averages",
        path="file",
    )
    training_micrographs: int = param(
        "Number of micrographs to learn from, spread over the set.", 10, limits=(1, 10000)
    )
    steps: typing.Optional[int] = param(
        "Training steps.", None, label="Training steps", limits=(1, 10000000), none_means="the default of the method"
    )
    resolution: typing.Optional[float] = fields.resolution(
        "Resolution limit of the output; finer detail is removed by a low-pass filter first.",
        none_means="8 Å, or the limit of the pixel size if that is coarser",
        limits=(1, 200),
    )

    def check_together(self) -> typing.List[str]:
        return found(
            (
                bool(self.even) != bool(self.odd),
                "Even and odd averages (--even, --odd) belong together: give both or none.",
            ),
            (
                self.method == "even-odd" and not (self.even or self.odd or self.model),
                "Method (--method) even-odd learns from averages of even and odd frames (--even, --odd): give "
                "them, or choose added-noise.",
            ),
        )


class DenoiseMicrographsOutputs(Outputs):
    micrographs: str = output(
        "Folder of the denoised micrographs.", path="folder", becomes="outputMicrographs: SetOfMicrographs"
    )
    files: Texts = output("Denoised file of each micrograph.", path="file")
    counts: Counts = output("1 for each micrograph.")
    model: str = output("Model folder.", path="folder", becomes="outputModel: CryodlModel")
    method: str = output("Training method of the model: 'even-odd', 'added-noise' or 'simulated'.")
    resolution: float = output("Resolution limit of the output.", "Å")
    pixel_size: float = output("Pixel size of the files, which is that of the input.", "Å/px")


class TrainMicrographDenoiserConfig(Config):
    """Train a general micrograph denoiser on simulated micrographs of many structures."""

    output: str = fields.model_folder()
    structures: Paths = param(
        "Maps (.mrc) or atomic models (.pdb, .cif, also .gz) to simulate from (glob, files or list file). A tenth of "
        "them is held out for validation.",
        (),
        path="file",
    )
    procedural: int = param(
        "Artificial assemblies (blobs, rings, shells, rods, membrane proteins ...) beside the structures; a quarter "
        "of the micrographs shows them.",
        60,
        label="Artificial assemblies",
        limits=(2, 100000),
    )
    leave_out: Paths = fields.leave_out(
        "File names of structures (without extensions) not to learn from; for testing on molecules that the model "
        "never saw."
    )
    simulated: int = param(
        "Simulated micrographs, 576 x 576 px of 3.4 to 7 Å; further ones are simulated for validation.",
        300,
        label="Simulated micrographs",
        limits=(2, 1000000),
    )
    steps: typing.Optional[int] = fields.steps(none_means="12000")


class TrainMicrographDenoiserOutputs(TrainingOutputs):
    structures: int = output("Structures of files that were learnt from.")
    validation: Details = output(
        "correlation and wiener_correlation: mean correlation of the denoised micrograph, and of its Wiener filter, "
        "with the noise-free one, on simulated micrographs of structures that were held out."
    )


class ExtractParticlesConfig(pick_fields.OnMicrographs):
    """Extract normalised particles with their CTF from micrographs, into a RELION STAR file with one stack per
    micrograph."""

    coordinates: str = pick_fields.picks()
    output: str = fields.output_file(
        "STAR file for the particles. The stacks are written to a folder beside it, of the same name without .star. "
        "An interrupted run continues there."
    )
    particle_diameter: typing.Optional[float] = pick_fields.particle_diameter(
        help="Diameter of the smallest circle around the particle. The area outside the circle is the background.",
        default=None,
        none_means="the diameter stored with the picks",
    )
    ctf: typing.Optional[str] = pick_fields.ctf(none_means="particles without CTF")
    box: int = pick_fields.box()
    scaled_box: int = pick_fields.scaled_box(
        "Box size after resampling, which keeps the field of view. 0: no resampling."
    )
    contrast: str = pick_fields.stated_contrast(
        "Contrast of the protein in the micrographs. Dark protein is inverted, so that it is bright in all particle "
        "images."
    )
    normalise: bool = param(
        "Normalise the background of each image to a mean of 0 and a standard deviation of 1, and subtract a linear "
        "gradient.",
        True,
        expert=True,
    )
    flip_phases: bool = param(
        "Correct the phases flipped by the CTF, in the whole micrograph before boxes are extracted.", False, expert=True
    )
    edge: str = param(
        "What to do with boxes that extend beyond the micrograph's edge. drop: leave these particles out and count "
        "them. fill: repeat the nearest pixel of the edge.",
        "drop",
        label="Boxes at the edge",
        choices=("drop", "fill"),
        expert=True,
    )
    voltage: typing.Optional[float] = pick_fields.ctf_voltage("Acceleration voltage of the microscope.", expert=True)
    spherical_aberration: typing.Optional[float] = pick_fields.ctf_cs(
        "Spherical aberration of the microscope.", expert=True
    )
    amplitude_contrast: typing.Optional[float] = pick_fields.ctf_amplitude(none_means="the value in the CTF file")

    def check_together(self) -> typing.List[str]:
        if self.particle_diameter is None:
            return []  # all is checked once it is found
        box = self.box_in_pixels()
        return [
            *found(
                (
                    not self.output.lower().endswith(".star"),
                    f"Output (--output) is {self.output}; it must end in .star.",
                )
            ),
            *even_problems(self, box="Box", scaled_box="Resampled box"),
            *found(
                (
                    box * self.pixel_size < self.particle_diameter,
                    f"Box (--box) is {box} px, {box * self.pixel_size:.0f} Å; it must be wider than the particle "
                    f"(--particle-diameter {self.particle_diameter:g} Å).",
                ),
                (
                    self.scaled_box > box,
                    f"Resampled box (--scaled-box) is {self.scaled_box} px, larger than the box of {box} px. "
                    "Upsampling adds no detail; give a smaller number, or 0.",
                ),
                (self.flip_phases and not self.ctf, "Flip phases (--flip-phases) needs the CTF (--ctf)."),
            ),
        ]

    def box_in_pixels(self) -> int:
        """Side of the boxes in pixels of the micrographs."""
        return self.box or 2 * int(-(-0.75 * (self.particle_diameter or 0) / self.pixel_size // 1))


class ExtractParticlesOutputs(ImagesOutputs):
    particles: str = output("STAR file of all particles.", path="file", becomes="outputParticles: SetOfParticles")
    folder: str = output("Folder of the stacks.", path="folder")
    stacks: Texts = output("Stack of each micrograph; micrographs without particles have none.", path="file")
    counts: Counts = output("Particles of each micrograph.")
    at_edge: Counts = output(
        "Number of picks of each micrograph that were left out because their box extends beyond the edge."
    )
    unusable: Counts = output(
        "Number of picks of each micrograph that were left out because their box has non-finite or constant values."
    )


COMMANDS = (
    Command(
        "assess-micrographs",
        AssessMicrographsConfig,
        AssessMicrographsOutputs,
        named=True,
        example="cryodl assess-micrographs --micrographs 'mics/*.mrc' --coordinates picks/ --pixel-size 1.77 "
        "--particle-diameter 190 --output assessment/\n"
        "Then: cryodl pick --micrographs assessment/good.txt ...",
        kept="micrograph",
        shared="micrographs",
    ),
    Command(
        "estimate-ctf",
        EstimateCtfConfig,
        EstimateCtfOutputs,
        named=True,
        example="cryodl estimate-ctf --micrographs 'mics/*.mrc' --pixel-size 1.06 --voltage 300 "
        "--spherical-aberration 2.7 --output ctf.star",
        kept="micrograph",
    ),
    Command(
        "denoise-micrographs",
        DenoiseMicrographsConfig,
        DenoiseMicrographsOutputs,
        named=True,
        seeded=True,
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
        seeded=True,
        gpu=True,
        several=True,
        example="cryodl dev train-micrograph-denoiser --structures 'structures/*.pdb' --output models/denoiser",
        dev=True,
    ),
    Command(
        "extract-particles",
        ExtractParticlesConfig,
        ExtractParticlesOutputs,
        named=True,
        example="cryodl extract-particles --coordinates picks/ --micrographs 'mics/*.mrc' --ctf ctf.star "
        "--pixel-size 1.06 --particle-diameter 190 --output particles.star",
        kept="micrograph",
    ),
)
