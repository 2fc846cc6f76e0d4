# SPDX-License-Identifier: GPL-3.0-or-later
"""One frozen dataclass per command: every parameter of the project is declared here, once."""
import dataclasses
import typing

from .params import param

Paths = typing.Tuple[str, ...]

# Names of the pickers' registry (pickers/__init__.py; a test keeps them equal). Append at the end.
PICKER_NETWORKS = ("unet",)

# Labelled particles below which a picker is not trained at all.
FEWEST_PARTICLES = 5


def _micrographs():
    return param("Micrographs: MRC (also .gz, .bz2) or TIFF. A quoted glob ('mics/*.mrc'), files, or one list file "
                 "(.txt with a path per line, or .star with rlnMicrographName).", label="Micrographs", path="file")


def _names():
    return param("Names to use instead of the file names, one per micrograph, in the same order. Outputs and "
                 "coordinates are matched by them.", default=(), label="Micrograph names", expert=True)


def _pixel_size():
    return param("Pixel size of the micrographs as they are in the files. Headers are not believed.",
                 label="Pixel size", unit="Å/px", minimum=0.05, maximum=100)


def _device():
    return param("Where to compute: 'auto' (the first GPU if there is one, else CPU; the log says which), 'cpu', or the "
                 "number of a GPU such as '0'. A GPU that is asked for and absent is an error.", default="auto",
                 label="Device", expert=True)


def _threads():
    return param("CPU threads; 0 takes all that the process may use.", default=0, label="CPU threads", minimum=0,
                 maximum=1024, expert=True)


@dataclasses.dataclass(frozen=True)
class TrainPickerConfig:
    """Train a particle picker on labelled micrographs."""
    micrographs: Paths = _micrographs()
    coordinates: str = param(
        "Folder (or file) with the particles' coordinates: RELION .star, EMAN .box or Topaz .txt, in pixels of the "
        "micrographs, matched by micrograph name without folder and extension.", label="Coordinates", path="folder")
    pixel_size: float = _pixel_size()
    particle_diameter: float = param(
        "Diameter of a circle that just holds the particle. Micrographs are rescaled by it, so that every particle has "
        "the same size for the network.", label="Particle diameter", unit="Å", minimum=10, maximum=5000)
    output: str = param("Folder of the new model. It must not exist.", label="Model folder", path="folder")
    background: typing.Optional[str] = param(
        "Folder (or file) with boxes on background, ice or dirt. When given, only labelled places teach the network: "
        "give it when the particles are not all picked. Without it, everything that is not picked is background.",
        default=None, label="Background boxes", path="folder", none_means="unpicked areas are background")
    network: str = param("Network and training method. unet: small U-net of this project, fast on CPUs.",
                         default="unet", label="Network", choices=PICKER_NETWORKS)
    start_from: typing.Optional[str] = param(
        "Model folder or name of a shipped model to continue from, instead of random weights. It must be of the same "
        "network.", default=None, label="Start from model", path="model", none_means="start from random weights",
        expert=True)
    steps: typing.Optional[int] = param(
        "Most training steps; training stops earlier when the validation figure no longer improves.", default=None,
        label="Training steps", minimum=1, maximum=1000000,
        none_means="400; 800 from 1,000 particles on; 250 where background boxes are given")
    patience: int = param("Validations without improvement after which training stops.", default=10,
                          label="Patience (validations)", minimum=1, maximum=1000, expert=True)
    validation_fraction: float = param(
        "Part of the labelled micrographs kept for validation (at least one; with a single micrograph a part of it). "
        "The best weights and the default threshold are chosen on it.", default=0.2, label="Validation fraction",
        minimum=0.05, maximum=0.5, expert=True)
    batch_size: int = param("Crops per training step.", default=8, label="Batch size", minimum=1, maximum=1024,
                            expert=True)
    learning_rate: float = param("Peak learning rate of AdamW.", default=0.003, label="Learning rate",
                                 minimum=1e-7, maximum=1, expert=True)
    seed: int = param("Seed of every random choice; the same seed on the same machine gives the same model.", default=0,
                      label="Random seed", minimum=0, maximum=2**31 - 1, expert=True)
    names: Paths = _names()
    device: str = _device()
    threads: int = _threads()


@dataclasses.dataclass(frozen=True)
class PickConfig:
    """Pick particles in micrographs with a trained model."""
    micrographs: Paths = _micrographs()
    pixel_size: float = _pixel_size()
    model: str = param("Model folder, or the name of a shipped model (`cryodl doctor` lists them).", label="Model",
                       path="model")
    output: str = param("Folder for one <micrograph>.star each. A stopped run continues here; finished micrographs are "
                        "not picked again.", label="Output folder", path="folder")
    particle_diameter: typing.Optional[float] = param(
        "Diameter of a circle that just holds the particle.", default=None, label="Particle diameter", unit="Å",
        minimum=10, maximum=5000, none_means="the model's")
    threshold: typing.Optional[float] = param(
        "Picks with a lower score are left out. 0 keeps every candidate.", default=None, label="Score threshold",
        minimum=0, maximum=1, none_means="the model's, chosen on its validation micrographs")
    minimum_distance: typing.Optional[float] = param(
        "Of two picks nearer than this only the better stays.", default=None, label="Minimum distance", unit="Å",
        minimum=0, maximum=5000, none_means="what the training labels allow, about half a diameter", expert=True)
    border: float = param("Picks whose centre is nearer than this to the micrograph's edge are left out.", default=0.0,
                          label="Border", unit="Å", minimum=0, maximum=10000, expert=True)
    overwrite: bool = param("Pick finished micrographs again, and allow other parameters than those of the files that "
                            "are in the output folder already.", default=False, label="Pick again", expert=True)
    memory: float = param("Memory that the network may use for one tile.", default=0.4, label="Memory for tiles",
                          unit="GB", minimum=0.05, maximum=1000, expert=True)
    names: Paths = _names()
    device: str = _device()
    threads: int = _threads()


@dataclasses.dataclass(frozen=True)
class EvaluatePicksConfig:
    """Compare picks with reference coordinates, matched one to one."""
    coordinates: str = param("Folder (or file) with the picks: .star, .box or Topaz .txt.", label="Picks",
                             path="folder")
    reference: str = param("Folder (or file) with the reference coordinates.", label="Reference", path="folder")
    pixel_size: float = _pixel_size()
    particle_diameter: float = param("Diameter of the particle; a pick counts within `tolerance` times its half.",
                                     label="Particle diameter", unit="Å", minimum=10, maximum=5000)
    tolerance: float = param("Largest distance of a matched pair, in particle radii. At 1 even mirrored picks score on "
                             "dense micrographs; 0.5 is the strict rule.", default=0.5, label="Tolerance",
                             unit="radii", minimum=0.01, maximum=10)
    micrographs: Paths = param("Micrographs to score (glob, files or list file); their sizes are needed for a border. "
                               "Without them, all that have a reference are scored.", default=(), label="Micrographs",
                               path="file")
    border: float = param("Picks and reference nearer than this to the edge are left out. Needs the micrographs.",
                          default=0.0, label="Border", unit="px", minimum=0, maximum=100000)
    threshold: float = param("Picks with a lower score are left out of precision, recall and f1.", default=0.0,
                             label="Score threshold", minimum=-1e9, maximum=1e9)
    json: bool = param("Print one JSON object instead of a table.", default=False, label="JSON")

    def check_together(self):
        if self.border > 0 and not self.micrographs:
            return ["Border (--border) is set but Micrographs (--micrographs) is not; their sizes are needed to know "
                    "where the edge is."]
        return []


@dataclasses.dataclass(frozen=True)
class SimulateMicrographsConfig:
    """Simulate micrographs of a structure or map, with exact coordinates, orientations and CTF."""
    structure: str = param("Map (.mrc, protein positive) or atomic model (.pdb, .cif, also .gz).", label="Structure",
                           path="file")
    pixel_size: float = param("Pixel size of the micrographs to make.", label="Pixel size", unit="Å/px", minimum=0.05,
                              maximum=100)
    count: int = param("Number of micrographs.", label="Number of micrographs", minimum=1, maximum=100000)
    output: str = param("Folder for micrographs/*.mrc, coordinates/*.star and ctf/*.txt (CTFFIND's text output). It must "
                        "not exist.", label="Output folder", path="folder")
    size: int = param("Side of the square micrographs.", default=1024, label="Size", unit="px", minimum=128,
                      maximum=16384)
    particles: int = param("Particles per micrograph (fewer if they do not fit).", default=60,
                           label="Particles per micrograph", minimum=0, maximum=100000)
    snr: float = param("Signal-to-noise ratio: variance of the clean particles, inside their diameter, over the variance "
                       "of the noise.", default=0.05, label="SNR", minimum=1e-6, maximum=1000)
    defocus_min: float = param("Smallest mean defocus; positive is underfocus.", default=8000.0, label="Least defocus",
                               unit="Å", minimum=0, maximum=100000)
    defocus_max: float = param("Largest mean defocus.", default=25000.0, label="Largest defocus", unit="Å", minimum=0,
                               maximum=100000)
    astigmatism: float = param("Largest difference of the two defoci.", default=300.0, label="Astigmatism", unit="Å",
                               minimum=0, maximum=20000)
    voltage: float = param("Acceleration voltage.", default=300.0, label="Voltage", unit="kV", minimum=20, maximum=1000)
    spherical_aberration: float = param("Spherical aberration.", default=2.7, label="Cs", unit="mm", minimum=0,
                                        maximum=10)
    amplitude_contrast: float = param("Part of the contrast that is amplitude contrast.", default=0.1,
                                      label="Amplitude contrast", minimum=0, maximum=1)
    seed: int = param("Seed of every random choice.", default=0, label="Random seed", minimum=0, maximum=2**31 - 1)
    device: str = _device()
    threads: int = _threads()

    def check_together(self):
        if self.defocus_max < self.defocus_min:
            return [f"Largest defocus (--defocus-max) is {self.defocus_max:g} Å, below the least defocus "
                    f"(--defocus-min) of {self.defocus_min:g} Å."]
        return []


@dataclasses.dataclass(frozen=True)
class DoctorConfig:
    """Say what is installed, which devices and models there are, and what to do about what is missing."""
    json: bool = param("Print one JSON object instead of text.", default=False, label="JSON")
    device: str = _device()


@dataclasses.dataclass(frozen=True)
class Command:
    """A command of the engine. `module` is the file in commands/ whose run(config) does it."""
    name: str
    module: str
    config: type

    @property
    def summary(self):
        return self.config.__doc__.strip().splitlines()[0]


COMMANDS = {c.name: c for c in (
    Command("train-picker", "train_picker", TrainPickerConfig),
    Command("pick", "pick", PickConfig),
    Command("evaluate-picks", "evaluate_picks", EvaluatePicksConfig),
    Command("simulate-micrographs", "simulate_micrographs", SimulateMicrographsConfig),
    Command("doctor", "doctor", DoctorConfig),
)}
