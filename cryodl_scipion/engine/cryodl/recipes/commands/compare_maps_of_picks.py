# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl compare-maps-of-picks`: several sets of picks and a structure in; a map of the particles of each set out.

The particles of each set are extracted, oriented by comparison with the structure, and back-projected in two halves.
Halves are divided by micrographs, so that a particle that was picked twice is in one of them only. Micrographs that
cannot be read, or have no CTF, are left out of all sets and named. Sets that give no map are in Result.skipped. Make
the map of each set, then the table."""

import shutil
from pathlib import Path

from ...contract import (
    AllSkipped,
    CompareMapsOfPicksConfig,
    CompareMapsOfPicksOutputs,
    counted,
    in_words,
    resolution_in_words,
    write_json,
)
from ...core.symmetry import operations
from ...io.files import expand_paths, name_micrographs
from ...io.messages import apart
from ...io.micrographs import pixel_size_warnings
from ...running.runner import PROGRAM, Run, command
from ..picked_maps import one_map
from ..picked_maps.sets import (
    WORK,
    Common,
    ComparedSets,
    box_of,
    compared_sets,
    diameters_of,
    estimated_ctf,
    file_names,
    unreadable,
    without_ctf,
)

MAPS = ("map", "half1", "half2")


@command
def compare_maps_of_picks(config: CompareMapsOfPicksConfig, run: Run) -> CompareMapsOfPicksOutputs:
    operations(config.symmetry)  # an unknown one is an error before the work
    run.take_device()
    diameter, structure = diameters_of(config)
    compared = compared_sets(config, name_micrographs(expand_paths(config.micrographs), run.names), diameter)
    if config.ctf:
        compared = compared.without(
            without_ctf(config, compared, config.ctf), f"for which {config.ctf} (--ctf) has no CTF"
        )
    compared.notes.extend(pixel_size_warnings([path for _, path in compared.micrographs], config.pixel_size))
    box = box_of(config, diameter, structure)
    compared = compared.without(unreadable(compared.micrographs), "which cannot be read")
    folder = run.folder(config.structure, *filter(None, [config.ctf]), *(path for _, path in compared.micrographs))
    run.discard(WORK)
    ctf = config.ctf or estimated_ctf(config, dict(compared.micrographs), folder)
    if not config.ctf:
        compared = compared.without(without_ctf(config, compared, ctf), "for which no CTF could be estimated")
    run.warn(*compared.notes)
    common = Common(dict(compared.micrographs), compared.halves, ctf, diameter, box)
    with apart():  # what the commands say of each set stands in the log, above its name
        records, counts = {}, compared.counts()
        for name, file in file_names(list(compared.sets)).items():
            print(
                f"\n{name}: {counted(counts[name], 'pick')} on {counted(len(common.paths), 'micrograph')}", flush=True
            )
            with run.item(name, compared.files[name]):
                if not counts[name]:
                    raise ValueError(f"{compared.files[name]} has no picks on the micrographs compared.")
                picks, work = compared.sets[name], folder / WORK / file
                records[name] = one_map.map_of_set(name, picks, config, common, work, run.seed)
        if not records:
            first = run.skipped[0]
            raise AllSkipped(
                f"None of the sets of picks ({len(run.skipped)}) gave a map. First, {first.item}: {in_words(first)}"
            )
    outputs = _written(config, compared, records, diameter, folder)
    one_map.print_rows(outputs)
    print(f"Maps, table and curves: {config.output}")
    run.warn(*outputs.notes)
    _tell(config, outputs, run)
    return outputs


def _tell(config: CompareMapsOfPicksConfig, made: CompareMapsOfPicksOutputs, run: Run) -> None:
    sets, micrographs = counted(len(made.sets), "set"), counted(made.micrographs, "micrograph")
    run.summary(
        f"{sets} compared on {micrographs}, particles oriented by detail to {made.search_resolution:.1f} Å",
        *(
            f"{name}: {counted(made.particles[name], 'particle')}, FSC 0.143 at "
            f"{resolution_in_words(made.resolution[name])}"
            + ("" if loss is None or name == made.measured_by else f" ({loss:+.1f} % of {made.measured_by})")
            for name, loss in made.loss.items()
        ),
    )
    run.methods(
        f"{sets} of coordinates were compared by the maps of their particles with {PROGRAM}: particles of "
        f"{micrographs} were oriented by comparison with projections of {Path(config.structure).name}, with detail to "
        f"{made.search_resolution:.1f} Å, and back-projected in two half-sets divided by micrographs. Resolutions are "
        "those at which the Fourier shell correlation of the half-maps falls below 0.143."
    )


def _written(
    config: CompareMapsOfPicksConfig, compared: ComparedSets, records: dict[str, dict], diameter: float, folder: Path
) -> CompareMapsOfPicksOutputs:
    """The outputs, whose files are written to the working folder under the names that they will have."""
    final, sets, counts = Path(config.output), list(records), compared.counts()
    files: dict[str, dict[str, str]] = {part: {} for part in MAPS}
    for name, file in file_names(list(compared.sets)).items():
        if name in records:
            for part in MAPS:
                ending = "" if part == "map" else f"_{part}"
                shutil.copyfile(folder / WORK / file / f"map{ending}.mrc", folder / f"{file}{ending}.mrc")
                files[part][name] = str(final / f"{file}{ending}.mrc")
    of = lambda key: {name: records[name][key] for name in sets}
    measured_by, loss = one_map.losses(of("resolution"), compared.reference)
    notes = compared.notes + one_map.doubts(records, config.search_resolution(diameter))
    if compared.reference and compared.reference not in records:
        notes.append(f"The reference gave no map; the others are measured by {measured_by}, the best of them.")
    outputs = CompareMapsOfPicksOutputs(
        sets=sets,
        picks={name: counts[name] for name in sets},
        particles=of("particles"),
        resolution=of("resolution"),
        noise_resolution=of("noise_resolution"),
        structure_resolution=of("structure_resolution"),
        loss=loss,
        measured_by=measured_by,
        fsc=of("fsc"),
        structure_fsc=of("structure_fsc"),
        maps=files["map"],
        half1=files["half1"],
        half2=files["half2"],
        micrographs=len(compared.micrographs),
        search_resolution=config.search_resolution(diameter),
        particle_diameter=diameter,
        box=records[sets[0]]["box"],
        pixel_size=records[sets[0]]["pixel_size"],
        folder=str(final),
        comparison=str(final / "maps.json"),
        table=str(final / "maps.csv"),
        curves_plot=str(final / "fsc.png"),
        ctf=config.ctf or str(final / "ctf.star"),
        notes=notes,
    )
    one_map.write_map_table(folder / "maps.csv", outputs)
    one_map.plot_map_fscs(folder / "fsc.png", outputs)
    write_json(folder / "maps.json", dict(outputs))
    return outputs
