# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of the commands that assign orientations, reconstruct maps, name the molecule that particles show, and
find a first map without a structure."""

import typing

from .. import fields
from ..command import Command, Config, MapsOutputs, Outputs, Paths, output, param


class IdentifyConfig(Config):
    """Find which structures of a folder the particles show: how surely, what share of each, or that it is none."""

    particles: str = fields.particles(
        "Raw particles with CTF; a few hundred are enough, and angles are not needed. Or 2-D class averages, a few "
        "dozens: the table of classes (classes.star, RELION's model.star), or a stack (.mrcs) with its pixel size."
    )
    structures: Paths = param(
        "Folder of maps and atomic models (.mrc, .map, .pdb, .cif, also .gz), or their files, or a .txt file that "
        "lists them.",
        path="folder",
    )
    output: str = fields.output_folder("Folder for ranking.csv. It must not exist.")


class IdentifyOutputs(Outputs):
    table: str = output(
        "ranking.csv: structure, q (estimated probability of a look-alike), share of the particles and its 90 % "
        "interval, evidence; the best first.",
        path="file",
    )
    found: typing.List[str] = output("Structures that the particles show.")
    alike: typing.List[str] = output("Structures of which the particles show one that cannot be told from the others.")
    names: typing.List[str] = output("All structures that were compared, the best first.")
    shares: typing.List[float] = output("Fraction of the particles that show each; 0 of those that are not found.")
    explained: float = output("Evidence over that of particles simulated from the structure, the highest of all.")
    count: int = output("Number of particles that were compared.")
    contrast: str = output("Contrast of protein in the images, 'dark' or 'bright'.")


class ViewsOutputs(Outputs):
    """What the views of particles show, see reconstruction/views.py."""

    missing_cone: typing.Optional[float] = output(
        "Half angle of the largest cone of hardly seen directions; 0: none, null: under 100 views.", "degrees"
    )
    tilted_cones: typing.Optional[typing.List[float]] = output(
        "The missing cone that images of a specimen tilted by 20, 30 and 40 degrees would leave.", "degrees"
    )
    views: typing.Optional[typing.List[typing.List[float]]] = output(
        "Map of the views: rot and tilt of directions in degrees, and views there over what even ones give."
    )


class OrientedMapsOutputs(MapsOutputs, ViewsOutputs):
    by_direction: typing.Optional[typing.List[typing.List[typing.Optional[float]]]] = output(
        "For axes over one half of the sphere: rot and tilt in degrees, and the resolution in Å within 20 degrees of "
        "the axis (null if nothing is resolved there, or too coarsely to be sure of)."
    )


class InitialMapConfig(Config):
    """Find a first map of a molecule whose structure is not known, and judge whether it may be believed."""

    particles: str = fields.particles("Raw particles with CTF, most of them of one molecule; angles are not used.")
    output: str = fields.output_folder(
        "Folder to write: judgement.json and, if a map was determined, map.mrc, its half-maps, and particles.star "
        "with the orientations found."
    )
    mask_diameter: typing.Optional[float] = fields.mask_diameter(
        "Diameter of a sphere that holds the particle. A tighter one makes the search safer and quicker."
    )
    most: int = param(
        "Maximum number of particles that are used, drawn at random: a first map needs a few thousand.",
        4000,
        label="Particles used",
        limits=(200, 1000000),
        expert=True,
    )
    contrast: str = fields.particle_contrast()


class InitialMapOutputs(OrientedMapsOutputs):
    determined: bool = output("Whether a map was determined.")
    reasons: typing.List[str] = output("Why not; empty for a map.")
    map: typing.Optional[str] = output(
        "The map, of unknown hand; null if none was determined.", path="file", becomes="outputVolume: Volume"
    )
    half1: typing.Optional[str] = output("First half-map.", path="file")
    half2: typing.Optional[str] = output("Second half-map.", path="file")
    particles: typing.Optional[str] = output(
        "STAR file of the used particles with the orientations found.",
        path="file",
        becomes="outputParticles: SetOfParticles",
    )
    judgement: str = output("judgement.json: what the judgement rests on.", path="file")
    resolution: typing.Optional[float] = output(
        "Resolution at which the FSC of the halves, which started apart, falls below 0.143; at best `limit`.",
        "Å",
        becomes="outputResolution: Float",
    )
    limit: typing.Optional[float] = output("Finest detail that was compared.", "Å")
    fsc: typing.List[float] = output(
        "FSC of the half-maps, shell 0 first; empty without a map.", becomes="outputFSC: FSC"
    )
    agreement: typing.Optional[float] = output("Correlation of the maps of the two halves.")
    coverage: typing.Optional[float] = output("Coverage of the direction that is seen least; 1 for even views.")
    count: int = output("Number of particles that were used.")
    contrast: str = output("Contrast of protein in the images, 'dark' or 'bright'.")


class AssignOrientationsConfig(Config):
    """Assign Euler angles and shifts to particles by comparison with projections of a structure."""

    particles: str = fields.particles("Particles to orient; the CTF is needed, angles are not.")
    structure: str = fields.structure()
    output: str = fields.output_file("STAR file to write: the raw particles with angles, shifts, score and margin.")
    model: typing.Optional[str] = fields.model(
        "Denoiser whose output is compared with the projections instead of the raw images.",
        default=None,
        label="Denoiser",
        none_means="the raw images are compared, taking their CTF and noise into account",
    )
    angular_step: float = fields.angular_step(
        "Angle between neighbouring directions of the first search. The best few directions are refined."
    )
    max_shift: typing.Optional[float] = fields.max_shift(
        "Maximum distance of a particle from the centre of its box.", none_means="a tenth of the box size"
    )
    resolution: typing.Optional[float] = fields.resolution(
        "Resolution limit of the comparison.", none_means="the finest resolution that the angular step allows"
    )
    symmetry: str = fields.symmetry()
    contrast: str = fields.particle_contrast()
    noise_substitution: typing.Optional[float] = fields.resolution(
        "Also orient the images with detail finer than this resolution replaced by noise, into NAME_substituted.star. "
        "`reconstruct` then reports how much of the FSC beyond this resolution is due to reference bias.",
        none_means="no noise substitution",
        label="Noise substitution beyond",
        expert=True,
    )
    controls: bool = param(
        "Calibrate the probabilities and orient images of noise as a control. Those of an earlier run in the output's "
        "folder are used again if reference, CTF range, noise and signal are alike.",
        True,
        expert=True,
    )


class AssignOrientationsOutputs(ViewsOutputs):
    particles: str = output(
        "STAR file of the particles with angles and shifts.", path="file", becomes="outputParticles: SetOfParticles"
    )
    count: int = output("Number of particles.")
    mean_score: float = output("Mean score of the particles.")
    mean_probability: typing.Optional[float] = output(
        "Mean probability of the assigned direction; null where it cannot be told, as of denoised images."
    )
    directions: int = output("Number of directions searched.")
    symmetry: str = output("Point group.")
    contrast: str = output("Contrast of protein: 'dark', 'bright', or empty if the structure is not in the images.")
    resolution: float = output("Resolution limit of the search.", "Å")
    reference: str = output("Structure that the angles were assigned with.", default="")
    noise_control: typing.Optional[str] = output(
        "STAR file of oriented noise images, as a control.", path="file", default=None
    )
    substituted: typing.Optional[str] = output(
        "STAR file of the particles with fine detail replaced by noise, as a control.", path="file", default=None
    )
    controls: str = output(
        "Where calibration and noise control come from: 'new', 'none', or the record of an earlier run.", default="new"
    )
    pixel_size: typing.Optional[float] = output("Of the particle images.", "Å/px", default=None)


class ReconstructConfig(Config):
    """Back-project oriented particles into a map and its two half-maps."""

    particles: str = fields.particles(
        "Particles with angles and shifts. rlnRandomSubset defines the half sets, if the file has it."
    )
    output: str = param(
        "Map to write (.mrc). The half-maps are written beside it: NAME_half1.mrc, NAME_half2.mrc.",
        label="Map",
        path="file",
    )
    symmetry: str = fields.symmetry()
    correct_ctf: bool = fields.correct_ctf("Correct for the CTF. Denoised particles have no CTF and are not corrected.")
    mask_diameter: typing.Optional[float] = fields.mask_diameter(
        "Diameter of the sphere within which the FSC is measured.", limits=(1, 10000)
    )
    noise_control: typing.Optional[str] = param(
        "Oriented noise images, NAME_noise.star of assign-orientations. Their FSC is reported beside that of the map.",
        None,
        path="file",
        expert=True,
        none_means="the one in the particles' folder, if there is one",
    )


class ReconstructOutputs(OrientedMapsOutputs):
    map: str = output("The reconstructed map.", path="file", becomes="outputVolume: Volume")
    half1: str = output("First half-map.", path="file")
    half2: str = output("Second half-map.", path="file")
    resolution: typing.Optional[float] = output("Resolution at which the half-maps' FSC falls below 0.143.", "Å")
    fsc: typing.List[float] = output("FSC of the half-maps, shell 0 first.", becomes="outputFSC: FSC")
    count: int = output("Number of particles.")
    mask: str = output(
        "Soft mask around the density of the map.", path="file", default="", becomes="outputMask: VolumeMask"
    )
    reference: str = output("Structure that the angles were assigned with; empty if unknown.", default="")
    search_resolution: typing.Optional[float] = output(
        "Resolution limit of the search that gave the angles.", "Å", default=None
    )
    noise_fsc: typing.Optional[typing.List[float]] = output(
        "FSC of the half-maps reconstructed from as many images of noise.", default=None
    )
    noise_resolution: typing.Optional[float] = output(
        "Resolution at which the noise half-maps' FSC, mean of three shells, falls below 0.143.", "Å", default=None
    )
    corrected_resolution: typing.Optional[float] = output(
        "Resolution at which the FSC, corrected for the FSC of noise, falls below 0.143.", "Å", default=None
    )
    fsc_beyond: typing.Optional[float] = output(
        "Mean FSC beyond the resolution limit of the search that gave the angles.", default=None
    )
    substituted_from: typing.Optional[float] = output(
        "Resolution beyond which detail was replaced by noise in the noise-substitution control.", "Å", default=None
    )
    substituted_fsc: typing.Optional[typing.List[float]] = output(
        "FSC of the half-maps of the noise-substitution control.", default=None
    )
    substituted_resolution: typing.Optional[float] = output(
        "Resolution at which the FSC, corrected by the noise-substitution control, falls below 0.143.",
        "Å",
        default=None,
    )


COMMANDS = (
    Command(
        "identify",
        IdentifyConfig,
        IdentifyOutputs,
        fresh="Output folder",
        gpu=True,
        example="cryodl identify --particles particles.star --structures models/ --output identity",
    ),
    Command(
        "initial-map",
        InitialMapConfig,
        InitialMapOutputs,
        fresh="Output folder",
        gpu=True,
        seeded=True,
        example="cryodl initial-map --particles particles.star --output initial",
        kept="start",
    ),
    Command(
        "assign-orientations",
        AssignOrientationsConfig,
        AssignOrientationsOutputs,
        gpu=True,
        example="cryodl assign-orientations --particles raw.star --structure map.mrc --symmetry D2 --output "
        "oriented.star",
        kept="chunk",
    ),
    Command(
        "reconstruct",
        ReconstructConfig,
        ReconstructOutputs,
        seeded=True,
        gpu=True,
        example="cryodl reconstruct --particles oriented.star --output map.mrc",
    ),
)
