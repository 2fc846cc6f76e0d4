# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl list-pairs`: a list of EMDB and PDB ids in; addresses for a download, and the table of pairs, out. Write
both files. Nothing is downloaded here. Raises ValueError if the list is wrong, or no pair is left."""

from pathlib import Path

from ...contract import ListPairsConfig, ListPairsOutputs, counted
from ...io.files import whole_file, write_csv
from ...running.runner import Run, command
from ..improvers.entries import read_ids

ADDRESSES, PAIRS = "addresses.txt", "pairs.csv"


@command
def list_pairs(config: ListPairsConfig, run: Run) -> ListPairsOutputs:
    every, warnings = read_ids(config.ids)
    run.warn(*warnings)
    entries = [e for e in every if config.resolution_min <= e.resolution <= config.resolution_max]
    if not entries:
        raise ValueError(
            f"{config.ids} has {counted(len(every), 'pair')} of map and model, none of them with a resolution of "
            f"{config.resolution_min:g} to {config.resolution_max:g} Å. Change --resolution-min and "
            "--resolution-max, or the list."
        )
    addresses = list(dict.fromkeys(address for entry in entries for address in entry.addresses))
    folder = Path(config.output)
    folder.mkdir(parents=True)
    with whole_file(folder / ADDRESSES) as temporary:
        temporary.write_text("".join(f"{address}\n" for address in addresses), encoding="utf-8")
    rows = ([e.map_file, e.model_file, f"{e.resolution:g}"] for e in entries)
    write_csv(folder / PAIRS, ("map", "structure", "resolution"), rows)
    maps, models = (len({getattr(e, kind) for e in entries}) for kind in ("map_file", "model_file"))
    run.summary(
        f"{len(entries)} of {counted(len(every), 'pair')} of {config.resolution_min:g} to "
        f"{config.resolution_max:g} Å: {counted(maps, 'map')} and {counted(models, 'model')}. Download them with:\n  "
        f"cd {folder} && wget -c -i {ADDRESSES}\nThen train with:\n  cryodl train-map-improver --pairs "
        f"{folder / PAIRS} --output MODEL"
    )
    return ListPairsOutputs(
        addresses=str(folder / ADDRESSES),
        pairs=str(folder / PAIRS),
        count=len(entries),
        maps=maps,
        models=models,
        excluded=len(every) - len(entries),
    )
