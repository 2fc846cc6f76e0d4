# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of the command that lists pairs of maps and atomic models."""

import dataclasses
import typing

from ..command import Command, Outputs, output
from ..fields import output_folder_field
from ..params import Config, param
from .map_fields import resolution_problems


@dataclasses.dataclass(frozen=True)
class ListPairsConfig(Config):
    """Turn a list of EMDB and PDB ids into download addresses and a table of pairs for training a map improver."""

    ids: str = param(
        "List (.csv) with the columns emdb_id, pdb_id (or fitted_pdbs, as EMDB's own tables call it) and resolution "
        "(Å); other columns are ignored.",
        label="List of ids",
        path="file",
    )
    output: str = output_folder_field(
        "Folder for addresses.txt (one address per line) and pairs.csv. Download the files into it. It must not exist."
    )
    resolution_min: float = param(
        "Pairs of a finer resolution are left out.",
        default=3.0,
        label="Finest resolution",
        unit="Å",
        minimum=0.5,
        maximum=50,
    )
    resolution_max: float = param(
        "Pairs of a coarser resolution are left out.",
        default=6.0,
        label="Coarsest resolution",
        unit="Å",
        minimum=0.5,
        maximum=50,
    )

    def check_together(self) -> typing.List[str]:
        return resolution_problems(self)


@dataclasses.dataclass(frozen=True, eq=False)
class ListPairsOutputs(Outputs):
    """What `list-pairs` wrote."""

    addresses: str = output("Download addresses, one per line.", path="file")
    pairs: str = output("Table of pairs for train-map-improver.", path="file")
    count: int = output("Pairs.")
    maps: int = output("Number of maps to download.")
    models: int = output("Number of atomic models to download.")
    excluded: int = output("Number of pairs that were left out because of their resolution.")


COMMANDS = (
    Command(
        "list-pairs",
        ListPairsConfig,
        ListPairsOutputs,
        threads=False,
        example="cryodl dev list-pairs --ids emdb.csv --output pairs/\ncd pairs && wget -c -i addresses.txt",
        dev=True,
    ),
)
