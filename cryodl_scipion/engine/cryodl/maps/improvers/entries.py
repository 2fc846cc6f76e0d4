# SPDX-License-Identifier: GPL-3.0-or-later
"""A user's list of EMDB and PDB entries: what to download, and the table of pairs of the files. No network."""

import csv
import dataclasses
import os
import re
import typing
from pathlib import Path

from ...contract.reading import reader

# Where the archives say that single files are to be fetched: EMDB's folder of an entry at EBI, and RCSB PDB's "File
# Download Services". Numbers of EMDB entries keep their leading zeros.
MAP_ADDRESS = "https://ftp.ebi.ac.uk/pub/databases/emdb/structures/EMD-{emdb}/map/{file}"
MODEL_ADDRESS = "https://files.rcsb.org/download/{file}"
# Names of the columns, as people write them and as EMDB's own tables have them.
COLUMNS = dict(emdb=("emdb_id", "emdb"), pdb=("pdb_id", "fitted_pdbs", "pdb"), resolution=("resolution",))
EMDB_ID = r"(?:EMD[-_])?(\d{4,5})", "an EMDB id, such as EMD-0393 or EMD-30342"
PDB_ID = r"(?:pdb_0000)?(\d[a-z0-9]{3})", "a PDB id, such as 7cec"
MAX_NAMED = 10  # of the lines that cannot be read


@dataclasses.dataclass(frozen=True)
class Entry:
    """emdb: digits of the EMDB id. pdb: four letters, small. resolution: Å."""

    emdb: str
    pdb: str
    resolution: float

    @property
    def map_file(self) -> str:
        """Name of the map's file in EMDB."""
        return f"emd_{self.emdb}.map.gz"

    @property
    def model_file(self) -> str:
        """Name of the model's file in the PDB."""
        return f"{self.pdb}.cif.gz"

    @property
    def addresses(self) -> list[str]:
        """URLs of map and model."""
        return [MAP_ADDRESS.format(emdb=self.emdb, file=self.map_file), MODEL_ADDRESS.format(file=self.model_file)]


@reader
def read_ids(source: str | os.PathLike[str]) -> tuple[list[Entry], list[str]]:
    """Entries of a CSV file, and sentences about lines that name no pair. The first line names the columns (COLUMNS),
    others are not looked at. Of several models the first is taken. Raises FileNotFoundError; ValueError that names
    missing columns, or the lines with ids or resolutions that are none."""
    path = Path(source)
    if not path.is_file():
        raise FileNotFoundError(f"The list {path} (--ids) does not exist.")
    with open(path, newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file)
        positions = _positions(path, next(reader, []))
        lines = [(reader.line_num, _cells(row, positions)) for row in reader if any(map(str.strip, row))]
    entries, notes, wrong = [], [], []
    for line, (emdb, pdb, resolution) in lines:
        where = f"{path}, line {line}"
        if not pdb or not resolution:
            notes.append(f"{where}: {emdb or 'the entry'} has no {'resolution' if pdb else 'model'}; it is left out.")
            continue
        try:
            entry = Entry(_id(emdb, *EMDB_ID), _id(pdb[0], *PDB_ID), _resolution(resolution))
        except ValueError as error:
            wrong.append(f"line {line}: {error}")
            continue
        if len(pdb) > 1:
            notes.append(
                f"{where}: EMD-{entry.emdb} has {len(pdb)} models; {entry.pdb} is used. To use another one, list "
                "only that one."
            )
        if entry in entries:
            notes.append(f"{where}: EMD-{entry.emdb} with {entry.pdb} is listed twice; the second is left out.")
            continue
        entries.append(entry)
    if wrong:
        more = f"; and {len(wrong) - MAX_NAMED} more" if len(wrong) > MAX_NAMED else ""
        raise ValueError(f"{path} has lines that cannot be read: {'; '.join(wrong[:MAX_NAMED])}{more}.")
    return entries, notes


def _positions(path: Path, titles: typing.Sequence[str]) -> typing.Iterable[typing.Any]:
    titles = [title.strip().lower() for title in titles]
    found = {kind: next((titles.index(n) for n in names if n in titles), None) for kind, names in COLUMNS.items()}
    missing = [COLUMNS[kind][0] for kind, position in found.items() if position is None]
    if missing:
        raise ValueError(
            f"{path} has no column {', '.join(missing)}; its first line must name emdb_id, pdb_id (or "
            "fitted_pdbs) and resolution, separated by commas. It reads: "
            f"{', '.join(titles) or 'nothing'}."
        )
    return found.values()


def _cells(row: typing.Sequence[str], positions: typing.Iterable[typing.Any]) -> tuple[str, list[str], str]:
    """(EMDB id, [PDB ids], resolution) as they are written; '' or [] for what is not there."""
    emdb, pdb, resolution = (row[position].strip() if position < len(row) else "" for position in positions)
    return emdb, re.findall(r"[^\s,;]+", pdb), resolution


def _id(text: str, pattern: str, what: str) -> str:
    found = re.fullmatch(pattern, text, re.IGNORECASE)
    if not found:
        raise ValueError(f"{text!r} is not {what}")
    return found.group(1).lower()


def _resolution(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1000:
        raise ValueError(f"{text!r} is not a resolution in Å")
    return value
