# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl denoise-micrographs`: micrographs in, one denoised <micrograph>.mrc each out, for looking and picking.

The network learns from the micrographs themselves, unless --model gives one that has learnt before. A finished
micrograph is not denoised again, and a model that the folder has is not trained again, so that micrographs may arrive
in several runs.
"""

import dataclasses
import json
import os
import typing
from pathlib import Path

from ...contract import (
    CARD,
    MICROGRAPH_DENOISER,
    DenoiseMicrographsConfig,
    DenoiseMicrographsOutputs,
    counted,
    denoises_blindly,
    read_card,
    write_json,
)
from ...io.files import expand_paths, name_micrographs
from ...io.micrographs import pixel_size_warnings, write_micrograph
from ...io.model import find_model, read_model
from ...io.mrc import read_header
from ...io.stamps import stamp
from ...runner import PROGRAM, Run, command
from ..denoise.run import MicrographDenoiser, read_averages, train_on_micrographs

RECORD, MODEL = "denoise.json", "model"  # in the output folder
MADE_OF = "cryodl: made of "  # a second label, of the inputs
NO_GROUND_TRUTH = {
    "even-odd": "from averages of even and odd frames (noise2noise)",
    "added-noise": "from the micrographs only, with added noise of their own spectra (recorrupted-to-recorrupted)",
}
LABEL = "cryodl: denoised, for viewing and picking; not for extraction"


@dataclasses.dataclass(frozen=True)
class MicrographSource:
    """One micrograph to denoise. paths: its file, or those of the averages of even and odd frames."""

    name: str
    path: str
    paths: tuple[str, ...]


@command
def denoise_micrographs(config: DenoiseMicrographsConfig, run: Run) -> DenoiseMicrographsOutputs:
    """Train a model if there is none, and denoise what is not denoised yet."""
    sources = _sources(config, run.names)
    folder = Path(config.output)
    folder.mkdir(parents=True, exist_ok=True)
    run.warn(*pixel_size_warnings([s.path for s in sources], config.pixel_size))
    trained_before = not config.model and (folder / MODEL / CARD).exists()
    model = _model(config, sources, folder, run)
    card = read_card(model, MICROGRAPH_DENOISER)
    _agree_with_folder(folder, config, card)
    run.warn(*_model_warnings(card, config.pixel_size, _resolution(config, card)))
    target = {s.name: folder / f"{s.name}.mrc" for s in sources}
    todo = {s.name: s for s in sources if not _is_denoised(s, target[s.name])}
    print(f"{counted(len(sources), 'micrograph')}, {len(sources) - len(todo)} of them already denoised.")
    changed = sum(target[name].exists() for name in todo)
    if trained_before and changed:
        run.warn(
            f"{counted(changed, 'micrograph')} changed after the model of {folder} was trained, and the model is used "
            "as it is. To train on the files as they are now, choose another --output."
        )
    if todo:
        denoiser = MicrographDenoiser(*read_model(model, MICROGRAPH_DENOISER), run.device, _resolution(config, card))
        print(f"Denoising on {run.device_name} with {model}.")
    for name, path in run.items([(s.name, s.path) for s in todo.values()], "micrograph"):
        with run.item(name, path, lambda gone: target[gone].unlink(missing_ok=True)):  # of a file that was replaced
            paths = todo[name].paths
            image = denoiser.denoise(read_averages(paths), config.pixel_size)
            write_micrograph(target[name], image, config.pixel_size, LABEL, MADE_OF + stamp(*paths))
    run.require_some(sources, "micrograph", "denoised")
    bad = {item.item for item in run.skipped}
    files = {name: str(path) for name, path in target.items() if name not in bad}
    run.summary(
        f"{counted(len(files), 'denoised micrograph')}: {folder}/<micrograph>.mrc. They are for viewing and picking; "
        "extract particles from the original micrographs."
    )
    resolution, learnt = _resolution(config, card), _learnt(card)
    run.methods(
        f"For picking and inspection, micrographs were denoised with {PROGRAM} to {resolution:.3g} Å by a "
        f"U-Net that was trained on {learnt}; particles were extracted from the original micrographs."
    )
    return DenoiseMicrographsOutputs(
        micrographs=str(folder),
        files=files,
        counts=dict.fromkeys(files, 1),
        model=str(model),
        method=card["method"],
        resolution=resolution,
        pixel_size=config.pixel_size,
    )


def _sources(config: DenoiseMicrographsConfig, names: typing.Sequence[str]) -> list[MicrographSource]:
    """The Sources of a config. Raises ValueError if even and odd averages are not as many as the micrographs."""
    paths = expand_paths(config.micrographs)
    named = name_micrographs(paths, names)
    if not config.even:
        return [MicrographSource(name, str(path), (str(path),)) for name, path in named]
    even, odd = expand_paths(config.even), expand_paths(config.odd)
    if not len(even) == len(odd) == len(paths):
        raise ValueError(
            f"There are {len(paths)} micrographs (--micrographs), {len(even)} averages of even frames (--even) and "
            f"{len(odd)} of odd frames (--odd). Give one of each for every micrograph, in the same order."
        )
    return [MicrographSource(name, str(path), (str(e), str(o))) for (name, path), e, o in zip(named, even, odd)]


def _model(
    config: DenoiseMicrographsConfig, sources: typing.Sequence[MicrographSource], folder: Path, run: Run
) -> Path:
    """Folder of the model to use: the given one, the one that an earlier run trained here, or one that is trained
    now."""
    if config.model:
        return find_model(config.model, MICROGRAPH_DENOISER)
    if not (folder / MODEL / CARD).exists():
        train_on_micrographs(config, [(s.name, s.paths) for s in sources], folder / MODEL, run)
    return folder / MODEL


def _agree_with_folder(folder: Path, config: DenoiseMicrographsConfig, card: typing.Mapping[str, typing.Any]) -> None:
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
        mine.update(resolution=_resolution(config, card))
    record = folder / RECORD
    if not record.exists():
        return write_json(record, mine)
    found = json.loads(record.read_text(encoding="utf-8"))
    words = dict(
        pixel_size="pixel size",
        weights_sha256="model",
        even_odd="kind of input (even and odd averages, or not)",
        resolution="resolution (--resolution)",
    )
    other = ", ".join(words[key] for key in mine if found.get(key) != mine[key])
    if other:
        raise ValueError(f"{folder} has micrographs denoised with another {other}. Choose another --output.")


def _learnt(card: typing.Mapping[str, typing.Any]) -> str:
    """What a model learnt from, in words."""
    if denoises_blindly(card):
        return f"{counted(card['training']['simulated_micrographs'], 'simulated micrograph')} of other structures"
    return f"{counted(len(card['training']['micrographs']), 'micrograph')}, {NO_GROUND_TRUTH[card['method']]}"


def _resolution(config: DenoiseMicrographsConfig, card: typing.Mapping[str, typing.Any]) -> float:
    """Å that the output is filtered to: a general model's is the user's to choose."""
    return (config.resolution if denoises_blindly(card) else None) or card["resolution"]


def _is_denoised(source: MicrographSource, target: Path) -> bool:
    """Whether the output is of the inputs as they are now. Outputs of earlier versions do not tell."""
    if not target.exists():
        return False
    labels = [bytes(label).decode("ascii", "replace").strip("\0 ") for label in read_header(target).record.label]
    found = next((label for label in labels if label.startswith(MADE_OF)), None)
    same = found is None or not all(map(os.path.exists, source.paths)) or found == MADE_OF + stamp(*source.paths)
    if not same:
        print(f"{source.path} has changed since it was denoised; it is denoised again.")
    return same


def _model_warnings(
    card: typing.Mapping[str, typing.Any], pixel_size: float, resolution: float
) -> typing.Iterator[str]:
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
