# SPDX-License-Identifier: GPL-3.0-or-later
"""Controls kept beside oriented particles, for later runs that are alike: signal, calibration, oriented noise.

NAME_controls.json stands beside NAME.star. It is used again only where the reference, the search, box, pixels and
reading of the images are the same (found anew for other images), and CTF, noise and signal within the tolerances below;
why not is said."""

import dataclasses
import json
import typing
from pathlib import Path

import numpy as np
import torch

from ...contract import AssignOrientationsConfig, sha256
from ...contract.model_card import refuse_constant
from ...io import files, stamps
from ...likelihood.observed import Source
from .amplitude import AmplitudeFit, improved
from .assign import ROUGH, Search
from .simulated_set import AnswerCalibration, made_up_count

METHOD = 4  # another number wherever search, calibration or controls change what they give
DEFOCUS = 5000.0  # Å by which the ends of the range of defocus (5 and 95 %) may differ
NOISE = 0.2  # relative difference of the noise's power, ring by ring
SIGNAL = 0.15  # of the structure's strength, at all detail that the search compares
SPREAD = 1.5  # factor of the spread of shifts
FIRST_RING = 3  # of the noise: fewer coefficients tell it worse than that
ENDING = "_controls.json"


@dataclasses.dataclass(frozen=True)
class KeptControls:
    """Controls of an earlier run. path: of their record. noise: STAR file of the oriented noise."""

    path: str
    fit: AmplitudeFit
    calibration: AnswerCalibration
    noise: str


def keep_controls(search: Search, config: AssignOrientationsConfig, calibration: AnswerCalibration, noise: str) -> None:
    """Write the record of controls that were made. noise: STAR file of the oriented noise beside the output."""
    fit, digests = search.fit, [sha256(noise), sha256(Path(noise).with_suffix(".mrcs"))]
    value = dict(
        _same(search, config),
        **_like(search),
        fit=dict(amplitude=fit.amplitude, b_factor=fit.b_factor, sigma=fit.sigma),
        calibration={k: np.asarray(v).tolist() for k, v in vars(calibration).items()},
        noise_control={"name": Path(noise).name, "files": digests},
        count=made_up_count(len(search.source.particles)),
        images=stamps.stamp(*sorted(set(search.source.particles.files))),
    )
    with files.whole_file(Path(config.output[: -len(".star")] + ENDING)) as temporary:
        Path(temporary).write_text(json.dumps(value, indent=1), encoding="utf-8")


def find_controls(
    search: Search,
    sources: typing.Sequence[Source],
    config: AssignOrientationsConfig,
    read: typing.Callable[[], Source],
) -> tuple[KeptControls | None, list[str]]:
    """Controls in the output's folder, or linked from there, that suit a Search; else why those do not. The search's
    source becomes that of `sources` that is read as theirs were where their images are these; else `read` gives it."""
    reasons: list[str] = []
    images = stamps.stamp(*sorted(set(search.source.particles.files)))
    for path in map(Path.resolve, sorted(Path(config.output).absolute().parent.glob("*" + ENDING))):
        try:
            # NaN and infinity would agree with everything
            value = json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse_constant)
            same = [one for one in sources if [one.contrast, one.ctf_state] == value["reading of the images"]]
            search.source = same[0].measured() if same and value["images"] == images else read()
            why = next((said for wrong, said in _differences(search, config, value, path) if wrong), "")
            found = _read(search, value, path)
        except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError, OSError) as error:
            why, found = f"it cannot be read ({error})", None
        if not why:
            return found, []
        reasons.append(f"The controls of {path.name} are not used again: {why}. They are made anew.")
    return None, reasons


def _read(search: Search, value: typing.Mapping[str, typing.Any], path: Path) -> KeptControls:
    fit, learnt = value["fit"], value["calibration"]
    weights, mean, scale = (np.asarray(learnt[name], float) for name in ("weights", "mean", "scale"))
    return KeptControls(
        str(path),
        AmplitudeFit(
            float(fit["amplitude"]), float(fit["b_factor"]), float(fit["sigma"]), torch.ones(search.disc.rings)
        ),
        AnswerCalibration(weights, mean, scale, float(learnt["right"])),
        str(path.with_name(Path(value["noise_control"]["name"]).name)),
    )


def _same(search: Search, config: AssignOrientationsConfig) -> dict[str, typing.Any]:
    """What must be equal, by the words that say so."""
    settings, source = search.settings, search.source
    return {
        "version of the method": METHOD,
        "reference (SHA-256)": sha256(config.structure),
        "box": source.particles.box,
        "pixel size": round(source.particles.pixel_size, 4),
        "search": [settings.symmetry.upper(), settings.angular_step, settings.max_shift, settings.resolution],
        "reading of the images": [source.contrast, source.ctf_state],
    }


def _like(search: Search) -> dict[str, typing.Any]:
    """What must be alike, beside the structure's signal: range of defocus (Å), the CTF's other constants, the noise."""
    table = np.array([dataclasses.astuple(one) for one in search.source.particles.optics or ()]).reshape(-1, 9)
    return {
        "defocus": np.quantile(table[:, :2].mean(1), [0.05, 0.95]).tolist(),
        "microscope": np.unique(table[:, 3:].round(4), axis=0).tolist(),
        "noise": search.source.power[: search.fine_disc.rings].tolist(),
    }


def _differences(
    search: Search, config: AssignOrientationsConfig, value: dict[str, typing.Any], path: Path
) -> typing.Iterator[tuple[bool, str]]:
    """Whether kept controls are not those of a Search, and what to say. What takes longest is looked at last."""
    yield from ((value.get(name) != wanted, f"the {name} differs") for name, wanted in _same(search, config).items())
    now, noise = _like(search), path.with_name(Path(value["noise_control"]["name"]).name)
    defocus = float(np.abs(np.subtract(now["defocus"], value["defocus"])).max())
    yield defocus > DEFOCUS, f"the range of defocus differs by more than {DEFOCUS:g} Å"
    yield (
        now["microscope"] != value["microscope"],
        "voltage, spherical aberration, amplitude contrast, phase shift, B-factor or scale of the CTF differ",
    )
    apart = float(np.abs(np.divide(now["noise"], np.maximum(value["noise"], 1e-12))[FIRST_RING:] - 1).max(initial=0))
    yield apart > NOISE, f"the noise differs by {100 * apart:.0f} % (at most {100 * NOISE:.0f} %)"
    yield value["count"] < made_up_count(len(search.source.particles)), "they were made for fewer particles"
    digests = [sha256(noise), sha256(noise.with_suffix(".mrcs"))]
    yield digests != value["noise_control"]["files"], f"{noise.name} was changed"
    fit, observed = _read(search, value, path).fit, search.source.observed(search.sample(ROUGH), search.disc)
    own = improved(fit, observed, search.bank, search.shifts(fit.sigma), search.width)
    strengths = own.gain(search.disc.rings, search.width) / fit.gain(search.disc.rings, search.width)
    apart = float((strengths - 1).abs().max())
    yield apart > SIGNAL, f"the structure's signal differs by {100 * apart:.0f} % (at most {100 * SIGNAL:.0f} %)"
    yield (
        not 1 / SPREAD <= own.sigma / fit.sigma <= SPREAD,
        f"the shifts spread over {own.sigma:.2f} px instead of {fit.sigma:.2f} px",
    )
