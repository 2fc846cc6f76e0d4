# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of the command that exports volumes and coordinates of tomograms to other programs."""

import typing

from .. import fields
from ..command import Command, Config, Counts, Outputs, Paths, Texts, found, output, param
from . import tomogram_fields

POINT_FORMATS = ("napari", "imod", "dynamo", "eman2", "relion", "copick")


def _tilt_field(which: str) -> typing.Any:
    return param(
        f"{which} tilt angle of the tilt series, for the wedge columns of Dynamo's tables.",
        None,
        "°",
        label=f"{which} tilt",
        limits=(-90, 90),
        none_means="the table says nothing about the wedge",
    )


class ExportTomogramsConfig(Config):
    """Export tomograms, scores or labels as OME-Zarr, and coordinates with orientations to other programs."""

    tomograms: Paths = tomogram_fields.tomograms("Tomograms, score volumes or label volumes.")
    output: str = fields.output_folder("Folder of the new files. It must not exist.")
    coordinates: Paths = param(
        "Coordinates in these tomograms (STAR of RELION or of this program, Dynamo .tbl, IMOD .mod, EMAN2 or copick "
        ".json, napari .csv).",
        (),
        path="file",
    )
    volumes: bool = param("Write each volume as OME-Zarr, <tomogram>.zarr, with levels of lower resolution.", True)
    labels: bool = param(
        "The volumes are label volumes. Levels of lower resolution are then labels too, and napari shows them as "
        "labels.",
        False,
        label="Volumes are labels",
    )
    points: typing.Tuple[str, ...] = param(
        "Formats of the coordinates. napari: <tomogram>.csv. imod: <tomogram>.mod, with an object for each species. "
        "dynamo: <tomogram>.tbl. eman2: <tomogram>_info.json. relion: particles.star of all tomograms, for RELION 5 "
        "and ArtiaX. copick: files of picks below ExperimentRuns. Those of imod and eman2 hold no orientations.",
        POINT_FORMATS,
        label="Formats of coordinates",
    )
    tilt_min: typing.Optional[float] = _tilt_field("Minimum")
    tilt_max: typing.Optional[float] = _tilt_field("Maximum")
    pixel_size: typing.Optional[float] = tomogram_fields.tomogram_pixel_size()
    names: Paths = tomogram_fields.tomogram_names()

    def check_together(self) -> typing.List[str]:
        strange = [name for name in self.points if name not in POINT_FORMATS]
        return found(
            (
                strange,
                f"Formats of coordinates (--points) contains {''.join(strange[:1])!r}; choose from: "
                f"{', '.join(POINT_FORMATS)}.",
            ),
            (
                not self.volumes and not self.coordinates,
                "There is nothing to write: give --coordinates, or leave --no-volumes out.",
            ),
            (
                (self.tilt_min is None) != (self.tilt_max is None),
                "Minimum tilt (--tilt-min) and maximum tilt (--tilt-max) must be given together.",
            ),
        )[:1] or (
            tomogram_fields.tilt_problems(self) if (self.tilt_min is not None and self.tilt_max is not None) else []
        )


class ExportTomogramsOutputs(Outputs):
    folder: str = output("Folder of the files.", path="folder")
    volumes: Texts = output("OME-Zarr folder of each volume.", path="folder")
    points: typing.Dict[str, Texts] = output(
        "File of each tomogram that has coordinates, in each format; of copick the folder of its picks, of RELION the "
        "file of all tomograms.",
        path="file",
    )
    counts: Counts = output("Number of coordinates of each tomogram.")
    pixel_sizes: typing.Dict[str, float] = output("Pixel size of each tomogram.", "Å/px")


COMMANDS = (
    Command(
        "export-tomograms",
        ExportTomogramsConfig,
        ExportTomogramsOutputs,
        fresh="Output folder",
        threads=False,
        example="cryodl export-tomograms --tomograms 'tomograms/*.mrc' --coordinates picked/particles.star "
        "--output exported/\n"
        "Labels for napari: --tomograms 'merged/*.mrc' --labels",
        form=False,
    ),
)
