# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl estimate-ctf`: micrographs in, a STAR file with the defocus of each out.

Beside <output>.star lies the folder <output> with <micrograph>.json (the fit and its profile) and <micrograph>.mrc
(the power spectrum beside the fit) of each, written when it is fitted; what is there is not fitted again, unless the
micrograph has changed.
Result.outputs are the contract's EstimateCtfOutputs.
Micrographs that cannot be read, or whose rings cannot be told from noise, are in Result.skipped.
"""

import os
import typing
from pathlib import Path

from ...contract import AllSkipped, EstimateCtfConfig, Result, Skipped, counted, in_words, said_skipped
from ...contract.micrographs.ctf import EstimateCtfOutputs
from ...contract.result import write_json
from ...io.each_item import each_item
from ...io.files import expand_paths, name_micrographs
from ...io.item_records import earlier_record
from ...io.micrographs import pixel_size_warnings
from ...io.stamps import stamp
from ...io.warn import warn

KIND = "micrograph CTF"
FIT_VALUES = ("defocus_u", "defocus_v", "defocus_angle", "phase_shift", "resolution", "correlation", "strength")
SETTINGS = (
    "pixel_size",
    "voltage",
    "spherical_aberration",
    "amplitude_contrast",
    "minimum_defocus",
    "maximum_defocus",
    "maximum_astigmatism",
    "lowest_resolution",
    "highest_resolution",
    "find_phase_shift",
)


def run(config: EstimateCtfConfig) -> Result:
    """Fit what is not fitted yet, then write the table of all.

    Raises
    ------
    AllSkipped
        If no micrograph could be fitted.
    ValueError
        If the output holds fits with other parameters.
    """
    named = name_micrographs(expand_paths(config.micrographs), config.names)
    star = Path(config.output)
    folder = star.with_suffix("")
    folder.mkdir(parents=True, exist_ok=True)
    notes = list(pixel_size_warnings([path for _, path in named], config.pixel_size)) + _range_warnings(config)
    for note in notes:
        warn(note)
    records = {name: record for name, path in named if (record := _earlier(folder, name, path, config))}
    print(f"{counted(len(named), 'micrograph')}, {len(records)} of them already fitted.")
    todo = [pair for pair in named if pair[0] not in records]
    skipped = _fit_all(todo, config, folder, records)
    if len(skipped) == len(named):
        raise AllSkipped(
            f"The CTF of none of the {len(named)} micrographs could be estimated. The first: {in_words(skipped[0])}"
        )
    done = {name: records[name] for name, _ in named if name in records}
    _write_star(star, folder, done, config)
    print(_in_words(done) + f": {star}")
    outputs = EstimateCtfOutputs(
        star=str(star),
        folder=str(folder),
        spectra={n: str(folder / f"{n}.mrc") for n in done},
        fits={n: {f: r[f] for f in FIT_VALUES} for n, r in done.items()},
    )
    return Result(
        "estimate-ctf",
        outputs,
        device="CPU" if todo else "none: nothing was fitted",
        skipped=tuple(skipped),
        warnings=tuple(notes + said_skipped(skipped, "micrograph")),
    )


def _range_warnings(config: EstimateCtfConfig) -> list[str]:
    """A sentence if the pixels are too coarse for the smallest defocus that is looked for."""
    from ..ctf import Microscope, lowest_defocus

    microscope = Microscope(config.voltage, config.spherical_aberration, config.amplitude_contrast)
    minimum = lowest_defocus(microscope, config.pixel_size, config.highest_resolution)
    if minimum <= config.minimum_defocus:
        return []
    return [
        f"For a defocus below {minimum:.0f} Å there are too few Thon rings up to the highest fitted resolution (pixel "
        f"size {config.pixel_size:g} Å/px, highest resolution {config.highest_resolution:g} Å): such micrographs are "
        "skipped, or get a wrong defocus. Use micrographs with a smaller pixel size."
    ]


def _earlier(folder: Path, name: str, path: str, config: EstimateCtfConfig) -> dict[str, typing.Any] | None:
    """The record of a micrograph that was fitted before, None if there is none or the file has changed.

    Raises ValueError if it was fitted with other parameters.
    """
    record = earlier_record(
        folder / f"{name}.json",
        KIND,
        {key: getattr(config, key) for key in SETTINGS},
        "is not the CTF fit of a micrograph",
        "has fits with other parameters",
    )
    if record is None or not os.path.exists(path) or record["stamp"] != stamp(path):
        return None
    return record if (folder / f"{name}.mrc").exists() else None


def _fit_all(
    todo: typing.Sequence[tuple[str, str]], config: EstimateCtfConfig, folder: Path, records: dict[str, typing.Any]
) -> list[Skipped]:
    """Write and add the record of each micrograph as it is done. Returns those that were skipped."""
    if not todo:
        return []
    from ...core.devices import set_threads

    set_threads()

    def fit(name: str, path: str) -> None:
        records[name] = _fit_one(name, path, config, folder)

    def skip(name: str) -> None:
        """The fit of a file that was replaced does not stay; that of one that is gone does."""
        if os.path.exists(paths[name]):
            for ending in (".json", ".mrc"):
                (folder / (name + ending)).unlink(missing_ok=True)

    paths = dict(todo)
    return each_item(todo, "micrograph", fit, skip)


def _fit_one(name: str, path: str, config: EstimateCtfConfig, folder: Path) -> dict[str, typing.Any]:
    """The record of one micrograph, which is written with its picture."""
    from ...io.micrographs import read_micrograph, write_micrograph
    from ..ctf import Microscope, SearchRange, checked, estimate_ctf, spectrum_picture

    microscope = Microscope(config.voltage, config.spherical_aberration, config.amplitude_contrast)
    limits = SearchRange(
        config.minimum_defocus, config.maximum_defocus, config.maximum_astigmatism, config.find_phase_shift
    )
    made_of = stamp(path) if os.path.exists(path) else None
    fit = checked(
        estimate_ctf(
            read_micrograph(path),
            config.pixel_size,
            microscope,
            limits,
            config.lowest_resolution,
            config.highest_resolution,
        )
    )
    write_micrograph(
        folder / f"{name}.mrc",
        spectrum_picture(fit, microscope, config.pixel_size),
        config.pixel_size,
        "cryodl: power spectrum right, fitted CTF left",
    )
    profile = {key: [round(float(v), 5) for v in getattr(fit.profile, key)] for key in ("frequency", "data", "model")}
    record = dict(
        kind=KIND,
        name=name,
        path=str(path),
        stamp=made_of,
        profile=profile,
        settings={key: getattr(config, key) for key in SETTINGS},
        **{f: getattr(fit, f) for f in FIT_VALUES},
    )
    write_json(folder / f"{name}.json", record)
    return record


def _write_star(star: Path, folder: Path, records: typing.Mapping[str, typing.Any], config: EstimateCtfConfig) -> None:
    """RELION's table of micrographs with their CTF."""
    from ...io.star import write_tables

    columns = dict(
        rlnDefocusU="defocus_u",
        rlnDefocusV="defocus_v",
        rlnDefocusAngle="defocus_angle",
        rlnCtfFigureOfMerit="correlation",
        rlnCtfMaxResolution="resolution",
    )
    if config.find_phase_shift:
        columns["rlnPhaseShift"] = "phase_shift"
    optics = dict(
        rlnOpticsGroupName=["opticsGroup1"],
        rlnOpticsGroup=[1],
        rlnMicrographOriginalPixelSize=[config.pixel_size],
        rlnVoltage=[config.voltage],
        rlnSphericalAberration=[config.spherical_aberration],
        rlnAmplitudeContrast=[config.amplitude_contrast],
        rlnMicrographPixelSize=[config.pixel_size],
    )
    rows = list(records.values())
    micrographs = dict(
        rlnMicrographName=[r["path"] for r in rows],
        rlnOpticsGroup=[1] * len(rows),
        rlnCtfImage=[f"{folder / r['name']}.mrc:mrc" for r in rows],
        rlnCtfAstigmatism=[r["defocus_u"] - r["defocus_v"] for r in rows],
        **{column: [float(r[key]) for r in rows] for column, key in columns.items()},
    )
    write_tables(star, dict(optics=optics, micrographs=micrographs))


def _in_words(records: typing.Mapping[str, typing.Any]) -> str:
    """'12 micrographs, defocus 9000 to 21000 Å, median fit to 4.1 Å'."""
    import statistics

    means = [(r["defocus_u"] + r["defocus_v"]) / 2 for r in records.values()]
    return (
        f"{counted(len(records), 'micrograph')}, mean defocus {min(means):.0f} to {max(means):.0f} Å, rings fitted "
        f"to {statistics.median(r['resolution'] for r in records.values()):.1f} Å (median)"
    )
