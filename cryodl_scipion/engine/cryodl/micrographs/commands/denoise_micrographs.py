# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl denoise-micrographs`: micrographs in, one denoised <micrograph>.mrc each out, for looking and picking.

The network learns from the micrographs themselves, unless --model gives one that has learnt before. A finished
micrograph is not denoised again, and a model that the folder has is not trained again, so that micrographs may arrive
in several runs. Train a model if there is none, and denoise what is not denoised yet.
"""

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
)
from ...io.micrographs import pixel_size_warnings, write_micrograph
from ...io.model import find_model, read_model
from ...io.stamps import stamp
from ...runner import PROGRAM, Run, command
from ..denoise.agreement import (
    MADE_OF,
    MicrographSource,
    is_denoised,
    micrograph_sources,
    model_warnings,
    resolution_of_output,
    same_denoising,
)
from ..denoise.run import MicrographDenoiser, read_averages, train_on_micrographs

MODEL = "model"  # in the output folder
NO_GROUND_TRUTH = {
    "even-odd": "from averages of even and odd frames (noise2noise)",
    "added-noise": "from the micrographs only, with added noise of their own spectra (recorrupted-to-recorrupted)",
}
LABEL = "cryodl: denoised, for viewing and picking; not for extraction"


@command
def denoise_micrographs(config: DenoiseMicrographsConfig, run: Run) -> DenoiseMicrographsOutputs:
    sources = micrograph_sources(config, run.names)
    folder = Path(config.output)
    folder.mkdir(parents=True, exist_ok=True)
    run.warn(*pixel_size_warnings([s.path for s in sources], config.pixel_size))
    trained_before = not config.model and (folder / MODEL / CARD).exists()
    model = _model(config, sources, folder, run)
    card = read_card(model, MICROGRAPH_DENOISER)
    same_denoising(folder, config, card)
    run.warn(*model_warnings(card, config.pixel_size, resolution_of_output(config, card)))
    target = {s.name: folder / f"{s.name}.mrc" for s in sources}
    todo = {s.name: s for s in sources if not is_denoised(s, target[s.name])}
    print(f"{counted(len(sources), 'micrograph')}, {len(sources) - len(todo)} of them already denoised.")
    changed = sum(target[name].exists() for name in todo)
    if trained_before and changed:
        run.warn(
            f"{counted(changed, 'micrograph')} changed after the model of {folder} was trained, and the model is used "
            "as it is. To train on the files as they are now, choose another --output."
        )
    if todo:
        denoiser = MicrographDenoiser(
            *read_model(model, MICROGRAPH_DENOISER), run.device, resolution_of_output(config, card)
        )
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
    resolution, learnt = resolution_of_output(config, card), _learnt(card)
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


def _learnt(card: typing.Mapping[str, typing.Any]) -> str:
    if denoises_blindly(card):
        return f"{counted(card['training']['simulated_micrographs'], 'simulated micrograph')} of other structures"
    return f"{counted(len(card['training']['micrographs']), 'micrograph')}, {NO_GROUND_TRUTH[card['method']]}"
