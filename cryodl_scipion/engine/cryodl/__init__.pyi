# SPDX-License-Identifier: GPL-3.0-or-later
# Written by scripts/reference.py --stub from the contract: each command as a function with its parameters.
import os
import typing

from .contract import Result
from .contract.maps.evaluating import CompareModelsOutputs
from .contract.maps.evaluating import EvaluateMapOutputs
from .contract.maps.evaluating import SimulateHalfMapsOutputs
from .contract.maps.improving import ImproveMapOutputs
from .contract.maps.improving import TrainMapImproverOutputs
from .contract.micrographs.comparing import ComparePicksOutputs
from .contract.micrographs.comparing import ConsensusPicksOutputs
from .contract.micrographs.comparing import EvaluatePicksOutputs
from .contract.micrographs.comparing import ExportRelionOutputs
from .contract.micrographs.images import AssessMicrographsOutputs
from .contract.micrographs.images import DenoiseMicrographsOutputs
from .contract.micrographs.images import EstimateCtfOutputs
from .contract.micrographs.images import ExtractParticlesOutputs
from .contract.micrographs.images import TrainMicrographDenoiserOutputs
from .contract.micrographs.labelling import LabelsFromClassesOutputs
from .contract.micrographs.labelling import PickByHandOutputs
from .contract.micrographs.picking import AutoPickOutputs
from .contract.micrographs.picking import PickFilamentsOutputs
from .contract.micrographs.picking import PickOutputs
from .contract.micrographs.picking import TrainFilamentPickerOutputs
from .contract.micrographs.simulating import SimulateMicrographsOutputs
from .contract.micrographs.training import TrainGeneralPickerOutputs
from .contract.micrographs.training import TrainPickerOutputs
from .contract.particles.classes2d import Classify2DOutputs
from .contract.particles.classes2d import SelectClassesOutputs
from .contract.particles.denoising import DenoiseOutputs
from .contract.particles.denoising import EvaluateDenoiserOutputs
from .contract.particles.denoising import TrainDenoiserOutputs
from .contract.particles.integrity import AssessIntegrityOutputs
from .contract.particles.latent import LatentVolumesOutputs
from .contract.particles.latent import SelectLatentOutputs
from .contract.particles.orienting import AssignOrientationsOutputs
from .contract.particles.orienting import IdentifyOutputs
from .contract.particles.orienting import InitialMapOutputs
from .contract.particles.orienting import ReconstructOutputs
from .contract.particles.simulating import SimulateParticlesOutputs
from .contract.recipes.comparing_maps import CompareMapsOfPicksOutputs
from .contract.recipes.heterogeneity import FitHeterogeneityOutputs
from .contract.recipes.reporting import ReportOutputs
from .contract.tomograms.classifying import ClassifySubtomogramsOutputs
from .contract.tomograms.classifying import TrainClassifierOutputs
from .contract.tomograms.denoising import DenoiseTomogramsOutputs
from .contract.tomograms.detecting import DetectParticlesOutputs
from .contract.tomograms.detecting import TrainDetectorOutputs
from .contract.tomograms.exporting import ExportTomogramsOutputs
from .contract.tomograms.features import EvaluateSegmentationOutputs
from .contract.tomograms.features import MeasureMembranesOutputs
from .contract.tomograms.features import MergeFeaturesOutputs
from .contract.tomograms.features import PickFeaturesOutputs
from .contract.tomograms.segmenting import AnnotationsOutputs
from .contract.tomograms.segmenting import SegmentOutputs
from .contract.tomograms.segmenting import TrainGeneralSegmenterOutputs
from .contract.tomograms.segmenting import TrainSegmenterOutputs
from .contract.tomograms.simulating import SimulateSubtomogramsOutputs
from .contract.tomograms.simulating import SimulateTomogramsOutputs

__version__: str
Path = typing.Union[str, os.PathLike[str]]
Paths = typing.Union[Path, typing.Sequence[Path]]

def table(path: Path, name: str = "", pandas: bool = False) -> typing.Any: ...

def train_filament_picker(
    *,
    output: Path,
    simulated: int = ...,
    steps: typing.Optional[int] = ...,
    batch_size: int = ...,
    device: typing.Optional[str] = ...,
    threads: typing.Optional[int] = ...,
    seed: int = ...,
) -> Result[TrainFilamentPickerOutputs]:
    """Train a filament picker on simulated micrographs of filaments of every kind."""

def train_general_picker(
    *,
    output: Path,
    structures: Paths = ...,
    procedural: int = ...,
    sets: typing.Optional[Path] = ...,
    leave_out: Paths = ...,
    simulated: int = ...,
    faint_fraction: float = ...,
    real_fraction: float = ...,
    real_marks: typing.Literal['complete', 'partial'] = ...,
    network: str = ...,
    steps: int = ...,
    start_from: typing.Optional[Path] = ...,
    cache: typing.Optional[Path] = ...,
    batch_size: int = ...,
    device: typing.Optional[str] = ...,
    threads: typing.Optional[int] = ...,
    seed: int = ...,
) -> Result[TrainGeneralPickerOutputs]:
    """Train a general picker on simulated micrographs of many shapes, and on labelled real micrographs."""

def train_micrograph_denoiser(
    *,
    output: Path,
    structures: Paths = ...,
    procedural: int = ...,
    leave_out: Paths = ...,
    simulated: int = ...,
    steps: typing.Optional[int] = ...,
    device: typing.Optional[str] = ...,
    threads: typing.Optional[int] = ...,
    seed: int = ...,
) -> Result[TrainMicrographDenoiserOutputs]:
    """Train a general micrograph denoiser on simulated micrographs of many structures."""

def simulate_particles(
    *,
    structure: Path,
    pixel_size: float,
    box: int,
    count: int,
    snr: float,
    output: Path,
    max_shift: float = ...,
    orientations: typing.Optional[Path] = ...,
    per_micrograph: int = ...,
    contrast: typing.Literal['dark', 'bright'] = ...,
    structures: Paths = ...,
    missing_chains: typing.Optional[str] = ...,
    domain: typing.Optional[str] = ...,
    hinge_axis: typing.Optional[str] = ...,
    hinge_range: float = ...,
    hinge_states: int = ...,
    weights: typing.Optional[str] = ...,
    ctf_from: typing.Optional[Path] = ...,
    minimum_defocus: float = ...,
    maximum_defocus: float = ...,
    astigmatism: float = ...,
    voltage: float = ...,
    spherical_aberration: float = ...,
    amplitude_contrast: float = ...,
    snr_area: typing.Literal['box', 'particle'] = ...,
    device: typing.Optional[str] = ...,
    threads: typing.Optional[int] = ...,
    seed: int = ...,
) -> Result[SimulateParticlesOutputs]:
    """Simulate particle images of a structure, with known orientations, shifts and CTF, and their noise-free projections."""

def train_general_segmenter(
    *,
    output: Path,
    ribosomes: Paths,
    others: Paths = ...,
    cells: int = ...,
    validation_cells: int = ...,
    working_pixel_size: float = ...,
    network: str = ...,
    cache: typing.Optional[Path] = ...,
    start_from: typing.Optional[Path] = ...,
    steps: typing.Optional[int] = ...,
    seed: int = ...,
    device: typing.Optional[str] = ...,
    threads: typing.Optional[int] = ...,
) -> Result[TrainGeneralSegmenterOutputs]:
    """Train segmenters of membranes, ribosomes, microtubules and thin filaments on simulated cells."""

def simulate_tomograms(
    *,
    output: Path,
    structures: Paths = ...,
    copies: Paths = ...,
    pixel_size: float = ...,
    size: int = ...,
    thickness: int = ...,
    count: int = ...,
    vesicles: int = ...,
    membranes: int = ...,
    microtubules: int = ...,
    filaments: int = ...,
    fiducials: int = ...,
    snr: float = ...,
    tilt_min: float = ...,
    tilt_max: float = ...,
    tilt_step: float = ...,
    dose: float = ...,
    defocus: float = ...,
    contrast: typing.Literal['dark', 'bright'] = ...,
    tilt_series: bool = ...,
    halves: bool = ...,
    alignment_error: float = ...,
    ctf_gradient: bool = ...,
    membrane_proteins: float = ...,
    crowding: float = ...,
    seed: int = ...,
    device: typing.Optional[str] = ...,
    threads: typing.Optional[int] = ...,
) -> Result[SimulateTomogramsOutputs]:
    """Simulate tomograms of cells with structures, membranes, filaments and fiducials, and their exact labels, positions and angles."""

def simulate_subtomograms(
    *,
    structures: Paths,
    output: Path,
    pixel_size: float = ...,
    box: int = ...,
    count: int = ...,
    snr: float = ...,
    max_shift: float = ...,
    tilt_min: float = ...,
    tilt_max: float = ...,
    tilt_step: float = ...,
    defocus: float = ...,
    contrast: typing.Literal['dark', 'bright'] = ...,
    seed: int = ...,
    device: typing.Optional[str] = ...,
    threads: typing.Optional[int] = ...,
) -> Result[SimulateSubtomogramsOutputs]:
    """Simulate subtomograms of several structures with missing wedge, CTF and noise, and their exact classes and angles."""

def train_map_improver(
    *,
    output: Path,
    pairs: typing.Optional[Path] = ...,
    structures: Paths = ...,
    leave_out: Paths = ...,
    network: str = ...,
    simulated: int = ...,
    resolution_min: float = ...,
    resolution_max: float = ...,
    working_pixel_size: float = ...,
    target_resolution: float = ...,
    start_from: typing.Optional[Path] = ...,
    steps: typing.Optional[int] = ...,
    batch_size: typing.Optional[int] = ...,
    device: typing.Optional[str] = ...,
    threads: typing.Optional[int] = ...,
    seed: int = ...,
) -> Result[TrainMapImproverOutputs]:
    """Train a network that turns reconstructed maps into maps simulated from their atomic models."""

def compare_models(
    *,
    structure: Path,
    reference: Path,
    distance: float = ...,
    output: typing.Optional[Path] = ...,
    threads: typing.Optional[int] = ...,
) -> Result[CompareModelsOutputs]:
    """Compare an atomic model with a reference model: matched residues, sequence, RMSD."""

def simulate_half_maps(
    *,
    structure: Path,
    resolution: float,
    output: Path,
    pixel_size: float = ...,
    box: typing.Optional[int] = ...,
    b_factor: float = ...,
    flexibility: float = ...,
    anisotropy: float = ...,
    detergent: bool = ...,
    threads: typing.Optional[int] = ...,
    seed: int = ...,
) -> Result[SimulateHalfMapsOutputs]:
    """Simulate half-maps, full map and ground truth of an atomic model, with the imperfections of real maps."""

def pick(
    *,
    micrographs: Paths,
    pixel_size: float,
    output: Path,
    method: typing.Literal['network', 'templates'] = ...,
    model: Path = ...,
    structure: typing.Optional[Path] = ...,
    particle_diameter: typing.Optional[float] = ...,
    keep_diameter: bool = ...,
    threshold: typing.Optional[float] = ...,
    threshold_rule: typing.Literal['model', 'f1', 'count'] = ...,
    answers: typing.Optional[Path] = ...,
    expected_particles: typing.Optional[float] = ...,
    contrast: typing.Literal['auto', 'dark', 'bright'] = ...,
    minimum_distance: typing.Optional[float] = ...,
    border: float = ...,
    avoid: typing.Literal['nothing', 'contamination', 'contamination and carbon'] = ...,
    overwrite: bool = ...,
    pictures: int = ...,
    feature_maps: int = ...,
    device: typing.Optional[str] = ...,
    threads: typing.Optional[int] = ...,
    names: Paths = ...,
) -> Result[PickOutputs]:
    """Pick particles in micrographs with a trained model, or by templates."""

def auto_pick(
    *,
    micrographs: Paths,
    pixel_size: float,
    output: Path,
    particle_diameter: typing.Optional[float] = ...,
    model: Path = ...,
    rounds: int = ...,
    training_micrographs: int = ...,
    corrections: typing.Optional[Path] = ...,
    confident: float = ...,
    steps: typing.Optional[int] = ...,
    threshold: typing.Optional[float] = ...,
    contrast: typing.Literal['auto', 'dark', 'bright'] = ...,
    device: typing.Optional[str] = ...,
    threads: typing.Optional[int] = ...,
    seed: int = ...,
    names: Paths = ...,
) -> Result[AutoPickOutputs]:
    """Pick without labels: a general model picks, and is retrained on its confident picks until it no longer improves."""

def pick_filaments(
    *,
    micrographs: Paths,
    pixel_size: float,
    filament_diameter: float,
    output: Path,
    model: Path = ...,
    segment_distance: typing.Optional[float] = ...,
    minimum_length: typing.Optional[float] = ...,
    threshold: typing.Optional[float] = ...,
    contrast: typing.Literal['dark', 'bright'] = ...,
    keep_edges: bool = ...,
    border: typing.Optional[float] = ...,
    overwrite: bool = ...,
    pictures: int = ...,
    device: typing.Optional[str] = ...,
    threads: typing.Optional[int] = ...,
    names: Paths = ...,
) -> Result[PickFilamentsOutputs]:
    """Trace filaments in micrographs and place segments along them."""

def train_picker(
    *,
    micrographs: Paths,
    coordinates: Path,
    pixel_size: float,
    particle_diameter: float,
    output: Path,
    background: typing.Optional[Path] = ...,
    network: str = ...,
    labels: typing.Literal['auto', 'complete', 'boxes', 'sparse'] = ...,
    contamination: typing.Optional[Path] = ...,
    uncertain: typing.Optional[Path] = ...,
    expected_particles: typing.Optional[float] = ...,
    pu_criterion: typing.Literal['ge-binomial', 'nnpu'] = ...,
    contrast: typing.Literal['auto', 'dark', 'bright'] = ...,
    start_from: typing.Optional[Path] = ...,
    steps: typing.Optional[int] = ...,
    recursions: int = ...,
    validation_fraction: float = ...,
    batch_size: int = ...,
    learning_rate: typing.Optional[float] = ...,
    device: typing.Optional[str] = ...,
    threads: typing.Optional[int] = ...,
    seed: int = ...,
    names: Paths = ...,
) -> Result[TrainPickerOutputs]:
    """Train a particle picker on labelled micrographs."""

def pick_by_hand(
    *,
    micrographs: Paths,
    pixel_size: float,
    particle_diameter: float,
    coordinates: Path,
    start_from: typing.Optional[Path] = ...,
    ask: typing.Optional[Path] = ...,
    threads: typing.Optional[int] = ...,
    names: Paths = ...,
) -> Result[PickByHandOutputs]:
    """Pick particles by hand, or correct picks, in a window. Every change is saved immediately."""

def labels_from_classes(
    *,
    kept: Path,
    micrographs: Paths,
    pixel_size: float,
    particle_diameter: float,
    output: Path,
    classified: typing.Optional[Path] = ...,
    coordinates: typing.Optional[Path] = ...,
    minimum_score: typing.Optional[float] = ...,
    flip_y: bool = ...,
    scale: float = ...,
    threads: typing.Optional[int] = ...,
    names: Paths = ...,
) -> Result[LabelsFromClassesOutputs]:
    """Make labels for a picker from 2-D classes: particles of kept classes are certain, those of rejected classes are removed."""

def compare_picks(
    *,
    picks: Paths,
    pixel_size: float,
    particle_diameter: float,
    reference: typing.Optional[Path] = ...,
    tolerance: float = ...,
    micrographs: Paths = ...,
    border: float = ...,
    output: typing.Optional[Path] = ...,
    threads: typing.Optional[int] = ...,
) -> Result[ComparePicksOutputs]:
    """Compare several sets of picks with a reference, and with each other."""

def evaluate_picks(
    *,
    coordinates: Path,
    reference: Path,
    pixel_size: float,
    particle_diameter: float,
    tolerance: float = ...,
    micrographs: Paths = ...,
    border: float = ...,
    threshold: typing.Optional[float] = ...,
    threads: typing.Optional[int] = ...,
) -> Result[EvaluatePicksOutputs]:
    """Compare picks with reference coordinates, matched one to one."""

def consensus_picks(
    *,
    picks: Paths,
    pixel_size: float,
    particle_diameter: float,
    output: Path,
    rule: typing.Literal['at-least', 'score'] = ...,
    minimum_sets: int = ...,
    minimum_score: float = ...,
    tolerance: float = ...,
    threads: typing.Optional[int] = ...,
) -> Result[ConsensusPicksOutputs]:
    """Combine several sets of picks: keep the particles that several of them found."""

def export_relion(
    *,
    micrographs: Paths,
    pixel_size: float,
    coordinates: Path,
    particle_diameter: float,
    output: Path,
    project: Path = ...,
    box: int = ...,
    contrast: typing.Literal['dark', 'bright'] = ...,
    flip_y: bool = ...,
    voltage: float = ...,
    spherical_aberration: float = ...,
    amplitude_contrast: float = ...,
    threads: typing.Optional[int] = ...,
    names: Paths = ...,
) -> Result[ExportRelionOutputs]:
    """Export picks to RELION 3.1, 4, 5 and cryoSPARC, and print the command that extracts the particles."""

def assess_micrographs(
    *,
    micrographs: Paths,
    pixel_size: float,
    particle_diameter: float,
    output: Path,
    coordinates: typing.Optional[Path] = ...,
    minimum_particles: typing.Optional[int] = ...,
    minimum_score: typing.Optional[float] = ...,
    maximum_contaminated: typing.Optional[float] = ...,
    maximum_carbon: float = ...,
    maximum_gradient: typing.Optional[float] = ...,
    threads: typing.Optional[int] = ...,
    names: Paths = ...,
) -> Result[AssessMicrographsOutputs]:
    """Measure micrographs and split them into good and bad ones: no particles, thick or crystalline ice, drift, dirt, carbon."""

def estimate_ctf(
    *,
    micrographs: Paths,
    pixel_size: float,
    voltage: float,
    spherical_aberration: float,
    output: Path,
    amplitude_contrast: float = ...,
    minimum_defocus: float = ...,
    maximum_defocus: float = ...,
    maximum_astigmatism: float = ...,
    lowest_resolution: float = ...,
    highest_resolution: float = ...,
    find_phase_shift: bool = ...,
    threads: typing.Optional[int] = ...,
    names: Paths = ...,
) -> Result[EstimateCtfOutputs]:
    """Estimate defocus and astigmatism of micrographs from the Thon rings in their power spectra."""

def denoise_micrographs(
    *,
    micrographs: Paths,
    pixel_size: float,
    output: Path,
    model: typing.Optional[Path] = ...,
    method: typing.Literal['auto', 'even-odd', 'added-noise'] = ...,
    even: Paths = ...,
    odd: Paths = ...,
    training_micrographs: int = ...,
    steps: typing.Optional[int] = ...,
    resolution: typing.Optional[float] = ...,
    device: typing.Optional[str] = ...,
    threads: typing.Optional[int] = ...,
    seed: int = ...,
    names: Paths = ...,
) -> Result[DenoiseMicrographsOutputs]:
    """Denoise micrographs for viewing, with a network that learns from the micrographs themselves."""

def extract_particles(
    *,
    micrographs: Paths,
    pixel_size: float,
    coordinates: Path,
    output: Path,
    particle_diameter: typing.Optional[float] = ...,
    ctf: typing.Optional[Path] = ...,
    box: int = ...,
    scaled_box: int = ...,
    contrast: typing.Literal['dark', 'bright'] = ...,
    normalise: bool = ...,
    flip_phases: bool = ...,
    edge: typing.Literal['drop', 'fill'] = ...,
    voltage: typing.Optional[float] = ...,
    spherical_aberration: typing.Optional[float] = ...,
    amplitude_contrast: typing.Optional[float] = ...,
    threads: typing.Optional[int] = ...,
    names: Paths = ...,
) -> Result[ExtractParticlesOutputs]:
    """Extract normalised particles with their CTF from micrographs, into a RELION STAR file with one stack per micrograph."""

def simulate_micrographs(
    *,
    structure: Path,
    pixel_size: float,
    count: int,
    output: Path,
    size: int = ...,
    particles: int = ...,
    minimum_distance: float = ...,
    orientations: typing.Optional[Path] = ...,
    snr: float = ...,
    snr_max: typing.Optional[float] = ...,
    dose: float = ...,
    frames: int = ...,
    drift: float = ...,
    noise_from: Paths = ...,
    ice: float = ...,
    aggregates: float = ...,
    carbon: float = ...,
    gradient: float = ...,
    contrast: typing.Literal['dark', 'bright'] = ...,
    box_size: typing.Optional[int] = ...,
    minimum_defocus: float = ...,
    maximum_defocus: float = ...,
    astigmatism: float = ...,
    voltage: float = ...,
    spherical_aberration: float = ...,
    amplitude_contrast: float = ...,
    device: typing.Optional[str] = ...,
    threads: typing.Optional[int] = ...,
    seed: int = ...,
) -> Result[SimulateMicrographsOutputs]:
    """Simulate micrographs of a structure or map, with exact coordinates, orientations and CTF."""

def classify_2d(
    *,
    particles: Path,
    output: Path,
    classes: int = ...,
    classes_from: typing.Optional[Path] = ...,
    again: bool = ...,
    mask_diameter: typing.Optional[float] = ...,
    max_shift: typing.Optional[float] = ...,
    resolution: typing.Optional[float] = ...,
    correct_ctf: bool = ...,
    epochs: int = ...,
    contrast: typing.Literal['auto', 'dark', 'bright'] = ...,
    device: typing.Optional[str] = ...,
    threads: typing.Optional[int] = ...,
    seed: int = ...,
) -> Result[Classify2DOutputs]:
    """Classify particles into 2-D classes: aligned, CTF-corrected averages, each with a score."""

def select_classes(
    *,
    classes: Path,
    output: Path,
    threshold: typing.Optional[float] = ...,
    minimum_particles: typing.Optional[int] = ...,
    good_lost: float = ...,
    particles: typing.Optional[Path] = ...,
    threads: typing.Optional[int] = ...,
) -> Result[SelectClassesOutputs]:
    """Select 2-D classes and keep their particles."""

def identify(
    *,
    particles: Path,
    structures: Paths,
    output: Path,
    device: typing.Optional[str] = ...,
    threads: typing.Optional[int] = ...,
) -> Result[IdentifyOutputs]:
    """Find which structures of a folder the particles show: how surely, what share of each, or that it is none."""

def initial_map(
    *,
    particles: Path,
    output: Path,
    mask_diameter: typing.Optional[float] = ...,
    most: int = ...,
    contrast: typing.Literal['auto', 'dark', 'bright'] = ...,
    device: typing.Optional[str] = ...,
    threads: typing.Optional[int] = ...,
    seed: int = ...,
) -> Result[InitialMapOutputs]:
    """Find a first map of a molecule whose structure is not known, and judge whether it may be believed."""

def assign_orientations(
    *,
    particles: Path,
    structure: Path,
    output: Path,
    model: typing.Optional[Path] = ...,
    angular_step: float = ...,
    max_shift: typing.Optional[float] = ...,
    resolution: typing.Optional[float] = ...,
    symmetry: str = ...,
    contrast: typing.Literal['auto', 'dark', 'bright'] = ...,
    noise_substitution: typing.Optional[float] = ...,
    controls: bool = ...,
    device: typing.Optional[str] = ...,
    threads: typing.Optional[int] = ...,
) -> Result[AssignOrientationsOutputs]:
    """Assign Euler angles and shifts to particles by comparison with projections of a structure."""

def reconstruct(
    *,
    particles: Path,
    output: Path,
    symmetry: str = ...,
    correct_ctf: bool = ...,
    mask_diameter: typing.Optional[float] = ...,
    noise_control: typing.Optional[Path] = ...,
    device: typing.Optional[str] = ...,
    threads: typing.Optional[int] = ...,
    seed: int = ...,
) -> Result[ReconstructOutputs]:
    """Back-project oriented particles into a map and its two half-maps."""

def train_denoiser(
    *,
    particles: Paths,
    structure: Paths,
    output: Path,
    network: str = ...,
    loss: typing.Literal['l1', 'exponential'] = ...,
    simulated_fraction: float = ...,
    resolution: typing.Optional[float] = ...,
    contrast: typing.Literal['auto', 'dark', 'bright'] = ...,
    start_from: typing.Optional[Path] = ...,
    steps: typing.Optional[int] = ...,
    batch_size: typing.Optional[int] = ...,
    device: typing.Optional[str] = ...,
    threads: typing.Optional[int] = ...,
    seed: int = ...,
) -> Result[TrainDenoiserOutputs]:
    """Train a network that denoises particle images, with projections of a known structure as targets."""

def denoise(
    *,
    particles: Path,
    output: Path,
    model: Path = ...,
    contrast: typing.Literal['auto', 'dark', 'bright'] = ...,
    device: typing.Optional[str] = ...,
    threads: typing.Optional[int] = ...,
) -> Result[DenoiseOutputs]:
    """Denoise particle images: with a network trained on their structure, or blindly, without a known structure."""

def evaluate_denoiser(
    *,
    particles: Path,
    model: Path,
    structure: Path,
    output: Path,
    unseen: typing.Optional[Path] = ...,
    unseen_structure: typing.Optional[Path] = ...,
    count: int = ...,
    symmetry: str = ...,
    contrast: typing.Literal['auto', 'dark', 'bright'] = ...,
    device: typing.Optional[str] = ...,
    threads: typing.Optional[int] = ...,
    seed: int = ...,
) -> Result[EvaluateDenoiserOutputs]:
    """Measure what a denoiser recovers and what it invents, by comparison with ground truth and controls."""

def fit_heterogeneity(
    *,
    particles: Path,
    output: Path,
    reference: typing.Optional[Path] = ...,
    method: typing.Literal['linear', 'gaussian', 'auto'] = ...,
    latent: int = ...,
    mask: typing.Optional[Path] = ...,
    resolution: typing.Optional[float] = ...,
    maps: int = ...,
    axes: int = ...,
    clusters: int = ...,
    classes: typing.Optional[int] = ...,
    umap: bool = ...,
    particle_diameter: typing.Optional[float] = ...,
    tilt_min: float = ...,
    tilt_max: float = ...,
    contrast: typing.Literal['auto', 'dark', 'bright'] = ...,
    device: typing.Optional[str] = ...,
    threads: typing.Optional[int] = ...,
    seed: int = ...,
) -> Result[FitHeterogeneityOutputs]:
    """Fit a latent space to oriented particles or aligned subtomograms: how the molecule moves, what it lacks, or that neither is found."""

def select_latent(
    *,
    particles: Path,
    output: Path,
    region: typing.Optional[str] = ...,
    clusters: typing.Optional[str] = ...,
    threads: typing.Optional[int] = ...,
) -> Result[SelectLatentOutputs]:
    """Select the particles, or the subtomograms, in a region or in clusters of a latent space."""

def latent_volumes(
    *,
    particles: Path,
    output: Path,
    axes: str = ...,
    maps: int = ...,
    points: typing.Optional[str] = ...,
    per_map: typing.Optional[int] = ...,
    domain: typing.Optional[Path] = ...,
    contrast: typing.Literal['auto', 'dark', 'bright'] = ...,
    threads: typing.Optional[int] = ...,
    seed: int = ...,
) -> Result[LatentVolumesOutputs]:
    """Reconstruct maps at points of a latent space, or along its dense regions, from the particles nearby."""

def assess_integrity(
    *,
    particles: Path,
    structures: Paths,
    output: Path,
    names: Paths = ...,
    orientations: typing.Literal['auto', 'given', 'search'] = ...,
    contrast: typing.Literal['auto', 'dark', 'bright'] = ...,
    device: typing.Optional[str] = ...,
    threads: typing.Optional[int] = ...,
) -> Result[AssessIntegrityOutputs]:
    """Assign each particle the probability that it is the whole complex or only a part of it."""

def train_segmenter(
    *,
    output: Path,
    pixel_size: typing.Optional[float] = ...,
    tomograms: Paths = ...,
    labels: Paths = ...,
    label: typing.Optional[int] = ...,
    tiles: int = ...,
    annotations: typing.Optional[Path] = ...,
    feature: typing.Optional[str] = ...,
    annotator: typing.Optional[str] = ...,
    network: str = ...,
    working_pixel_size: typing.Optional[float] = ...,
    steps: typing.Optional[int] = ...,
    batch_size: typing.Optional[int] = ...,
    start_from: typing.Optional[Path] = ...,
    names: Paths = ...,
    seed: int = ...,
    device: typing.Optional[str] = ...,
    threads: typing.Optional[int] = ...,
) -> Result[TrainSegmenterOutputs]:
    """Train a network that segments one feature in tomograms, from the labels of one annotator."""

def segment(
    *,
    tomograms: Paths,
    model: Paths,
    output: Path,
    pixel_size: typing.Optional[float] = ...,
    annotators: typing.Literal['combined', 'each'] = ...,
    scores: typing.Literal['float16', 'int8', 'float32'] = ...,
    names: Paths = ...,
    device: typing.Optional[str] = ...,
    threads: typing.Optional[int] = ...,
) -> Result[SegmentOutputs]:
    """Segment features in tomograms, with one score volume for each tomogram and feature."""

def annotate(
    *,
    tomograms: Paths,
    annotations: Path,
    feature: str = ...,
    annotator: str = ...,
    tile: int = ...,
    pixel_size: typing.Optional[float] = ...,
    names: Paths = ...,
    threads: typing.Optional[int] = ...,
) -> Result[AnnotationsOutputs]:
    """Open a window to draw features on tiles of tomograms, and to mark tiles that do not contain them."""

def import_annotations(
    *,
    annotations: Path,
    feature: typing.Optional[str] = ...,
    annotator: str = ...,
    tomograms: Paths = ...,
    labels: Paths = ...,
    label: typing.Optional[int] = ...,
    tiles: typing.Optional[Path] = ...,
    drawings: typing.Optional[Path] = ...,
    pixel_size: typing.Optional[float] = ...,
    folders: Paths = ...,
    positive_tiles: int = ...,
    negative_tiles: int = ...,
    tile: int = ...,
    names: Paths = ...,
    seed: int = ...,
    threads: typing.Optional[int] = ...,
) -> Result[AnnotationsOutputs]:
    """Import label volumes, stacks of tiles and drawings, or other folders of annotations, into a folder of annotations. Tiles that it already contains are not added again."""

def merge_features(
    *,
    scores: Path,
    output: Path,
    threshold: Paths = ...,
    minimum_size: float = ...,
    surfaces: bool = ...,
    threads: typing.Optional[int] = ...,
) -> Result[MergeFeaturesOutputs]:
    """Merge the score volumes of several features into one label volume for each tomogram, and list components."""

def pick_features(
    *,
    segmentations: Paths,
    output: Path,
    label: typing.Optional[int] = ...,
    shape: typing.Literal['centres', 'particles', 'filaments', 'membranes'] = ...,
    threshold: float = ...,
    pixel_size: typing.Optional[float] = ...,
    diameter: typing.Optional[float] = ...,
    spacing: float = ...,
    minimum_size: float = ...,
    maximum_size: typing.Optional[float] = ...,
    border: float = ...,
    names: Paths = ...,
    seed: int = ...,
    threads: typing.Optional[int] = ...,
) -> Result[PickFeaturesOutputs]:
    """Pick 3-D coordinates from a segmentation: centres of components, or points along filaments and on membranes."""

def measure_membranes(
    *,
    segmentations: Paths,
    output: Path,
    label: typing.Optional[int] = ...,
    threshold: float = ...,
    pixel_size: typing.Optional[float] = ...,
    spacing: float = ...,
    minimum_size: float = ...,
    border: float = ...,
    names: Paths = ...,
    seed: int = ...,
    threads: typing.Optional[int] = ...,
) -> Result[MeasureMembranesOutputs]:
    """Measure each segmented membrane (surface, area, thickness, curvature, distance to the others), and write points with normals on it for picking."""

def evaluate_segmentation(
    *,
    segmentations: Paths,
    labels: Paths,
    output: Path,
    label: typing.Optional[int] = ...,
    threshold: float = ...,
    tomograms: Paths = ...,
    pixel_size: typing.Optional[float] = ...,
    threads: typing.Optional[int] = ...,
) -> Result[EvaluateSegmentationOutputs]:
    """Compare segmentations with labels: Dice score, boundary error and components found, for each feature."""

def denoise_tomograms(
    *,
    output: Path,
    tomograms: Paths = ...,
    even: Paths = ...,
    odd: Paths = ...,
    model: typing.Optional[Path] = ...,
    fill_wedge: bool = ...,
    tilt_min: float = ...,
    tilt_max: float = ...,
    network: str = ...,
    training_tomograms: int = ...,
    steps: typing.Optional[int] = ...,
    halves: bool = ...,
    pixel_size: typing.Optional[float] = ...,
    names: Paths = ...,
    seed: int = ...,
    device: typing.Optional[str] = ...,
    threads: typing.Optional[int] = ...,
) -> Result[DenoiseTomogramsOutputs]:
    """Denoise tomograms and fill in their missing wedge, with a network that learns from their even and odd halves."""

def detect_particles(
    *,
    tomograms: Paths,
    output: Path,
    template: typing.Optional[Path] = ...,
    others: Paths = ...,
    model: typing.Optional[Path] = ...,
    pixel_size: typing.Optional[float] = ...,
    threshold: Paths = ...,
    fdr: float = ...,
    minimum_distance: typing.Optional[float] = ...,
    border: float = ...,
    diameter: typing.Optional[float] = ...,
    symmetry: str = ...,
    resolution: typing.Optional[float] = ...,
    angular_step: typing.Optional[float] = ...,
    tilt_min: float = ...,
    tilt_max: float = ...,
    defocus: typing.Optional[float] = ...,
    phase_flipped: bool = ...,
    contrast: typing.Literal['dark', 'bright'] = ...,
    control: float = ...,
    names: Paths = ...,
    seed: int = ...,
    device: typing.Optional[str] = ...,
    threads: typing.Optional[int] = ...,
) -> Result[DetectParticlesOutputs]:
    """Find particles in tomograms, with a template in all orientations or with a trained detector."""

def train_detector(
    *,
    output: Path,
    tomograms: Paths,
    coordinates: Paths,
    diameter: Paths,
    species: Paths = ...,
    pixel_size: typing.Optional[float] = ...,
    working_pixel_size: typing.Optional[float] = ...,
    network: str = ...,
    beta: float = ...,
    steps: typing.Optional[int] = ...,
    batch_size: typing.Optional[int] = ...,
    start_from: typing.Optional[Path] = ...,
    names: Paths = ...,
    seed: int = ...,
    device: typing.Optional[str] = ...,
    threads: typing.Optional[int] = ...,
) -> Result[TrainDetectorOutputs]:
    """Train a network that detects particles of one or several species in tomograms, from their coordinates."""

def train_classifier(
    *,
    subtomograms: Path,
    output: Path,
    network: str = ...,
    class_names: Paths = ...,
    particle_diameter: typing.Optional[float] = ...,
    resolution: typing.Optional[float] = ...,
    tilt_min: float = ...,
    tilt_max: float = ...,
    contrast: typing.Literal['auto', 'dark', 'bright'] = ...,
    steps: typing.Optional[int] = ...,
    batch_size: typing.Optional[int] = ...,
    seed: int = ...,
    device: typing.Optional[str] = ...,
    threads: typing.Optional[int] = ...,
) -> Result[TrainClassifierOutputs]:
    """Train a classifier of subtomograms on labelled subtomograms (rlnClassNumber)."""

def classify_subtomograms(
    *,
    subtomograms: Path,
    output: Path,
    model: typing.Optional[Path] = ...,
    rejected_fraction: typing.Optional[float] = ...,
    ground_truth: bool = ...,
    classes: int = ...,
    embedding: typing.Literal['pca', 'similarity', 'autoencoder'] = ...,
    align: typing.Literal['auto', 'given', 'search', 'none'] = ...,
    particle_diameter: typing.Optional[float] = ...,
    resolution: typing.Optional[float] = ...,
    tilt_min: float = ...,
    tilt_max: float = ...,
    contrast: typing.Literal['auto', 'dark', 'bright'] = ...,
    seed: int = ...,
    device: typing.Optional[str] = ...,
    threads: typing.Optional[int] = ...,
) -> Result[ClassifySubtomogramsOutputs]:
    """Assign a class to each subtomogram: by a classifier, or as clusters of those that show the same, without labels. With a classifier, class 0 is of no class of its training."""

def export_tomograms(
    *,
    tomograms: Paths,
    output: Path,
    coordinates: Paths = ...,
    volumes: bool = ...,
    labels: bool = ...,
    points: Paths = ...,
    tilt_min: typing.Optional[float] = ...,
    tilt_max: typing.Optional[float] = ...,
    pixel_size: typing.Optional[float] = ...,
    names: Paths = ...,
    threads: typing.Optional[int] = ...,
) -> Result[ExportTomogramsOutputs]:
    """Export tomograms, scores or labels as OME-Zarr, and coordinates with orientations to other programs."""

def improve_map(
    *,
    map: typing.Optional[Path] = ...,
    half_maps: Paths = ...,
    output: typing.Optional[Path] = ...,
    model: Path = ...,
    pixel_size: typing.Optional[float] = ...,
    resolution: typing.Optional[float] = ...,
    mask: typing.Optional[Path] = ...,
    mask_structure: typing.Optional[Path] = ...,
    mask_radius: float = ...,
    input_weight: float = ...,
    overlap: int = ...,
    batch_size: typing.Optional[int] = ...,
    device: typing.Optional[str] = ...,
    threads: typing.Optional[int] = ...,
) -> Result[ImproveMapOutputs]:
    """Improve the local contrast of a map with a trained network."""

def evaluate_map(
    *,
    map: Path,
    structure: typing.Optional[Path] = ...,
    half_maps: Paths = ...,
    before: typing.Optional[Path] = ...,
    processed: Paths = ...,
    mask: typing.Optional[Path] = ...,
    mask_radius: float = ...,
    resolution: typing.Optional[float] = ...,
    pixel_size: typing.Optional[float] = ...,
    output: typing.Optional[Path] = ...,
    threads: typing.Optional[int] = ...,
) -> Result[EvaluateMapOutputs]:
    """Measure a map against an atomic model, and two half-maps against each other."""

def compare_maps_of_picks(
    *,
    micrographs: Paths,
    pixel_size: float,
    picks: Paths,
    structure: Path,
    output: Path,
    reference: typing.Optional[Path] = ...,
    ctf: typing.Optional[Path] = ...,
    particle_diameter: typing.Optional[float] = ...,
    symmetry: str = ...,
    contrast: typing.Literal['dark', 'bright'] = ...,
    maximum_particles: typing.Optional[int] = ...,
    box: int = ...,
    scaled_box: int = ...,
    angular_step: float = ...,
    resolution: typing.Optional[float] = ...,
    max_shift: typing.Optional[float] = ...,
    voltage: typing.Optional[float] = ...,
    spherical_aberration: typing.Optional[float] = ...,
    amplitude_contrast: typing.Optional[float] = ...,
    device: typing.Optional[str] = ...,
    threads: typing.Optional[int] = ...,
    seed: int = ...,
    names: Paths = ...,
) -> Result[CompareMapsOfPicksOutputs]:
    """Compare sets of picks by the resolution of the maps that their particles give, oriented by a known structure."""

def report(
    *,
    output: Path,
    project: typing.Optional[Path] = ...,
    folder: typing.Optional[Path] = ...,
    words: typing.Optional[Path] = ...,
    own: str = ...,
    micrographs: int = ...,
    refresh: int = ...,
    threads: typing.Optional[int] = ...,
) -> Result[ReportOutputs]:
    """Write an HTML report of a project: statistics, micrographs with picks, classes, FSC, warnings, methods."""
