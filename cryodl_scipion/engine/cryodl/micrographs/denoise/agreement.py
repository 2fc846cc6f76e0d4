# SPDX-License-Identifier: GPL-3.0-or-later
"""What may be denoised by which model into which folder, and what is denoised already."""

import dataclasses
import os
import typing
from pathlib import Path

from ...contract import DenoiseMicrographsConfig, denoises_blindly, write_json
from ...io import messages, stamps
from ...io.files import expand_paths, file_key, name_micrographs, pair_by_name, read_kept
from ...io.mrc import read_header

RECORD = "denoise.json"  # in the output folder


MADE_OF = "cryodl: made of "  # a second label, of the inputs


@dataclasses.dataclass(frozen=True)
class MicrographSource:
    """One micrograph to denoise. paths: its file, or those of the averages of even and odd frames."""

    name: str
    path: str
    paths: tuple[str, ...]


def micrograph_sources(config: DenoiseMicrographsConfig, names: typing.Sequence[str]) -> list[MicrographSource]:
    """The Sources of a config; averages are in the order of `names`, or else found by theirs. Raises ValueError if even
    and odd averages are not as many as the micrographs, or of other names."""
    paths = expand_paths(config.micrographs, names)
    named = name_micrographs(paths, names)
    if not config.even:
        return [MicrographSource(name, str(path), (str(path),)) for name, path in named]
    even, odd = expand_paths(config.even, names), expand_paths(config.odd, names)
    if not len(even) == len(odd) == len(paths):
        raise ValueError(
            f"There are {len(paths)} micrographs (--micrographs), {len(even)} averages of even frames (--even) and "
            f"{len(odd)} of odd frames (--odd). Give one of each for every micrograph."
        )
    if not names:  # sorted as files, a_10_EVN.mrc comes before a_1_EVN.mrc, and a_1.mrc before a_10.mrc
        even, odd = (_of_micrographs(named, *half) for half in ((even, "--even"), (odd, "--odd")))
    return [MicrographSource(name, str(path), (str(e), str(o))) for (name, path), e, o in zip(named, even, odd)]


def _of_micrographs(named: typing.Sequence[tuple[str, str]], averages: list[str], option: str) -> list[str]:
    """The averages in the order of the micrographs."""
    positions, warning = pair_by_name(
        [name for name, _ in named],
        [file_key(path) for path in averages],
        ("micrographs", "--micrographs"),
        ("averages", option),
    )
    if warning:
        messages.warn(warning)
    return [averages[position] for position in positions]


def same_denoising(folder: Path, config: DenoiseMicrographsConfig, card: typing.Mapping[str, typing.Any]) -> None:
    """Write down what decides the output. Raises ValueError if the folder or the model is of another run."""
    wanted, has = (max(r or 0, 2 * config.pixel_size) for r in (config.resolution, card["resolution"]))
    general = denoises_blindly(card)
    if config.resolution and not general and abs(wanted / has - 1) > 0.01:
        raise ValueError(
            f"The model was trained for a resolution of {card['resolution']:g} Å, and --resolution is "
            f"{config.resolution:g} Å. Leave --resolution out, or train a model for it."
        )
    mine = dict(pixel_size=config.pixel_size, weights_sha256=card["weights_sha256"], even_odd=bool(config.even))
    if general:
        mine.update(resolution=resolution_of_output(config, card))
    if not config.model:
        mine.update(training=[config.method, config.steps, config.training_micrographs])
    record = folder / RECORD
    if not record.exists():
        return write_json(record, mine)
    found = read_kept(record)
    words = dict(
        pixel_size="pixel size",
        weights_sha256="model",
        even_odd="kind of input (even and odd averages, or not)",
        resolution="resolution (--resolution)",
        training="training (--method, --steps, --training-micrographs)",
    )
    before = dict(training=mine.get("training"))  # of records of 0.1.0
    if other := ", ".join(words[key] for key in mine if {**before, **found}.get(key) != mine[key]):
        raise ValueError(f"{folder} has micrographs denoised with another {other}. Choose another --output.")


def resolution_of_output(config: DenoiseMicrographsConfig, card: typing.Mapping[str, typing.Any]) -> float:
    """Å that the output is filtered to: a general model's is the user's to choose."""
    return (config.resolution if denoises_blindly(card) else None) or card["resolution"]


def is_denoised(source: MicrographSource, target: Path) -> bool:
    """Whether the output is of the inputs as they are now. Outputs of earlier versions do not tell."""
    if not target.exists():
        return False
    labels = [bytes(label).decode("ascii", "replace").strip("\0 ") for label in read_header(target).record.label]
    found = next((label for label in labels if label.startswith(MADE_OF)), None)
    same = found is None or not all(map(os.path.exists, source.paths)) or found == MADE_OF + stamps.stamp(*source.paths)
    if not same:
        print(f"{source.path} has changed since it was denoised; it is denoised again.")
    return same


def model_warnings(card: typing.Mapping[str, typing.Any], pixel_size: float, resolution: float) -> typing.Iterator[str]:
    """Sentences about a model that may not serve."""
    found, filtered = (card["validation"][key] for key in ("correlation", "wiener_correlation"))
    if found <= filtered:
        yield (
            f"On held-out data the network is no better than a Wiener filter (correlation {found:.3f} against "
            f"{filtered:.3f}); it has learned too little. Use more micrographs (--training-micrographs) or more "
            "steps (--steps)."
        )
    working = max(pixel_size, resolution / 2)
    if denoises_blindly(card):
        low, high = card["pixel_sizes"]
        if not low / 1.02 <= working <= 1.02 * high:
            yield (
                f"The model learned from micrographs of {low:g} to {high:g} Å/px; at {working:g} Å/px (half of "
                "--resolution, or the pixel size of the micrographs) it was not tried. Without --model, a model is "
                "trained on these micrographs."
            )
    elif pixel_size > 1.02 * card["resolution"] / 2:
        yield (
            f"The model learned from micrographs of {card['resolution'] / 2:g} Å/px; these have a larger pixel size, "
            f"{pixel_size:g} Å/px, so particles appear smaller to it. A model trained on these micrographs is better."
        )
