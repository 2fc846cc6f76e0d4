# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl estimate-ctf`: micrographs in, a STAR file with the defocus of each out.

Beside <output>.star lies the folder <output> with <micrograph>.json (the fit and its profile) and <micrograph>.mrc (the
power spectrum beside the fit) of each, written when it is fitted; what is there is not fitted again, unless the
micrograph has changed. Micrographs whose rings cannot be told from noise are skipped. Fit what is not fitted yet, then
write the table of all."""

import functools
import statistics
from pathlib import Path

from ...contract import EstimateCtfConfig, EstimateCtfOutputs, counted, some_names, span
from ...io import micrographs, pick_sets
from ...io.stamps import ItemRecords, Record, stamp_of
from ...io.star import write_tables
from ...running.runner import PROGRAM, Run, command
from ..ctf import Microscope, SearchRange, checked, fit_ctf, lowest_defocus, spectrum_picture

KIND, LABEL = "micrograph CTF", "cryodl: power spectrum right, fitted CTF left"
FIT_VALUES = ("defocus_u", "defocus_v", "defocus_angle", "phase_shift", "resolution", "correlation", "strength")
SETTINGS = (
    *("pixel_size", "voltage", "spherical_aberration", "amplitude_contrast", "minimum_defocus", "maximum_defocus"),
    *("maximum_astigmatism", "lowest_resolution", "highest_resolution", "find_phase_shift"),
)


@command
def estimate_ctf(config: EstimateCtfConfig, run: Run) -> EstimateCtfOutputs:
    named, star = micrographs.named_micrographs(config.micrographs, run.names, config.pixel_size), Path(config.output)
    microscope = Microscope(config.voltage, config.spherical_aberration, config.amplitude_contrast)
    folder = star.with_suffix("")
    minimum = lowest_defocus(microscope, config.pixel_size, config.highest_resolution)
    if minimum > config.minimum_defocus:
        print(f"A defocus below {minimum:.0f} Å shows too few Thon rings at {config.pixel_size:g} Å/px to be found.")
    files = ItemRecords(folder, KIND, {key: getattr(config, key) for key in SETTINGS}, "{}.mrc")
    files.prepare(named, LABEL.encode(), star)
    named = run.of_one_binning(named, config.pixel_size, files.forget)
    limits = SearchRange(
        config.minimum_defocus, config.maximum_defocus, config.maximum_astigmatism, config.find_phase_shift
    )
    fit_one = functools.partial(_fit_one, run, config, (microscope, limits), files)
    done = run.each(named, "micrograph", "fitted", fit_one, files.unchanged(named), files.forget)
    rows = list(done.values())
    tables = pick_sets.micrograph_tables([r["path"] for r in rows], config.pixel_size, *vars(microscope).values())
    columns = dict(
        rlnDefocusU="defocus_u",
        rlnDefocusV="defocus_v",
        rlnDefocusAngle="defocus_angle",
        rlnCtfFigureOfMerit="correlation",
        rlnCtfMaxResolution="resolution",
        **(dict(rlnPhaseShift="phase_shift") if config.find_phase_shift else {}),
    )
    tables["micrographs"].update(
        rlnCtfImage=[f"{folder / r['name']}.mrc:mrc" for r in rows],
        rlnCtfAstigmatism=[r["defocus_u"] - r["defocus_v"] for r in rows],
        **{column: [float(r[key]) for r in rows] for column, key in columns.items()},
    )
    write_tables(star, tables)
    if others := {record.stem for record in folder.glob("*.json")} - done.keys():
        print(f"{star} lists the given micrographs alone; {folder} also has fits of {some_names(others)}.")
    means = [(r["defocus_u"] + r["defocus_v"]) / 2 for r in rows]
    if low := [r["name"] for r, mean in zip(rows, means) if mean < minimum]:
        run.warn(
            f"The defocus of {counted(len(low), 'micrograph')} ({', '.join(low[:3])}) lies below {minimum:.0f} Å: "
            f"there are too few Thon rings up to the highest fitted resolution (pixel size {config.pixel_size:g} Å/px, "
            f"highest resolution {config.highest_resolution:g} Å), so it may be wrong. Use micrographs with a smaller "
            "pixel size."
        )
    if elliptic := [r["name"] for r in rows if 0 < 0.99 * limits.astigmatism <= r["defocus_u"] - r["defocus_v"]]:
        run.warn(
            f"The astigmatism of {counted(len(elliptic), 'micrograph')} ({', '.join(elliptic[:3])}) reaches the "
            f"maximum (--maximum-astigmatism {limits.astigmatism:g} Å), so it may be larger, and the defocus wrong. "
            "Repeat with a larger maximum and another --output."
        )
    run.summary(
        f"{counted(len(done), 'micrograph')}, mean defocus {span(means, '.0f')} Å, rings fitted to "
        f"{statistics.median(r['resolution'] for r in rows):.1f} Å (median): {star}"
    )
    run.methods(
        f"Contrast transfer functions were estimated from Thon rings between {config.lowest_resolution:g} and "
        f"{config.highest_resolution:g} Å in the power spectra of the micrographs ({PROGRAM})."
    )
    return EstimateCtfOutputs(
        star=str(star),
        folder=str(folder),
        spectra={n: str(folder / f"{n}.mrc") for n in done},
        fits={n: {f: r[f] for f in FIT_VALUES} for n, r in done.items()},
    )


def _fit_one(
    run: Run, config: EstimateCtfConfig, given: tuple[Microscope, SearchRange], files: ItemRecords, name: str, path: str
) -> Record:
    run.take_device()
    made_of, resolutions = stamp_of(path), (config.lowest_resolution, config.highest_resolution)
    fit = checked(fit_ctf(micrographs.read_micrograph(path), config.pixel_size, *given, *resolutions))
    micrographs.write_micrograph(
        files.folder / f"{name}.mrc", spectrum_picture(fit, given[0], config.pixel_size), config.pixel_size, LABEL
    )
    profile = {key: [round(float(v), 5) for v in getattr(fit.profile, key)] for key in ("frequency", "data", "model")}
    values = {key: getattr(fit, key) for key in FIT_VALUES}
    return files.write(name, made_of, name=name, path=str(path), profile=profile, **values)
