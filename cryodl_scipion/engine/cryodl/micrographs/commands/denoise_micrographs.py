# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl denoise-micrographs`: micrographs in, one denoised <micrograph>.mrc each out, for looking.

The network learns from the micrographs themselves, unless --model gives one that has learnt before. A finished
micrograph is not denoised again, and a model that the folder has is not trained again, so that micrographs may arrive
in several runs. Train a model if there is none, and denoise what is not denoised yet."""

import functools
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
from ...io import files, micrographs, stamps
from ...io.model import find_model, read_model
from ...running.runner import PROGRAM, Run, command
from ..denoise import agreement
from ..denoise.run import MicrographDenoiser, read_averages, train_on_micrographs

MODEL = "model"  # in the output folder
NO_GROUND_TRUTH = {
    "even-odd": "from averages of even and odd frames (noise2noise)",
    "added-noise": "from the micrographs only, with added noise of their own spectra (recorrupted-to-recorrupted)",
}
LABEL = "cryodl: denoised, for viewing; not for picking or extraction"


@command
def denoise_micrographs(config: DenoiseMicrographsConfig, run: Run) -> DenoiseMicrographsOutputs:
    sources, folder = agreement.micrograph_sources(config, run.names), Path(config.output)
    files.prepare_folder(
        [(s.name, path) for s in sources for path in s.paths], folder, ".mrc", LABEL.partition(",")[0].encode()
    )
    run.warn(*micrographs.pixel_size_warnings([s.path for s in sources], config.pixel_size))
    remove = lambda gone: (folder / f"{gone}.mrc").unlink(missing_ok=True)  # of a file that was replaced
    # denoised, a header would no longer tell another binning
    alike = dict(run.of_one_binning([(s.name, s.path) for s in sources], config.pixel_size, remove))
    sources = [s for s in sources if s.name in alike]
    trained_before = not config.model and (folder / MODEL / CARD).exists()
    if config.model:
        model = find_model(config.model, MICROGRAPH_DENOISER)
    else:
        model = folder / MODEL
        if not trained_before:
            train_on_micrographs(config, [(s.name, s.paths) for s in sources], model, run)
    card = read_card(model, MICROGRAPH_DENOISER)
    agreement.same_denoising(folder, config, card)
    resolution = agreement.resolution_of_output(config, card)
    run.warn(*agreement.model_warnings(card, config.pixel_size, resolution))
    target, paths = {s.name: folder / f"{s.name}.mrc" for s in sources}, {s.name: s.paths for s in sources}
    known = {s.name: target[s.name] for s in sources if agreement.is_denoised(s, target[s.name])}
    changed = sum(file.exists() for name, file in target.items() if name not in known)
    if trained_before and changed:
        run.warn(
            f"{counted(changed, 'micrograph')} changed after the model of {folder} was trained, and the model is used "
            "as it is. To train on the files as they are now, choose another --output."
        )

    @functools.cache
    def denoiser() -> MicrographDenoiser:
        print(f"Denoising on {run.device_name} with {model}.")
        return MicrographDenoiser(*read_model(model, MICROGRAPH_DENOISER), run.device, resolution)

    def denoise(name: str, _: str) -> Path:
        image = denoiser().denoise(read_averages(paths[name]), config.pixel_size)
        micrographs.write_micrograph(
            target[name], image, config.pixel_size, LABEL, agreement.MADE_OF + stamps.stamp(*paths[name])
        )
        return target[name]

    named = [(s.name, s.path) for s in sources]
    done = run.each(named, "micrograph", "denoised", denoise, known, remove, begin=denoiser)
    run.summary(
        f"{counted(len(done), 'denoised micrograph')}: {folder}/<micrograph>.mrc. They are for viewing; "
        "pick and extract particles in the original micrographs."
    )
    learnt = (
        f"{counted(card['training']['simulated_micrographs'], 'simulated micrograph')} of other structures"
        if denoises_blindly(card)
        else f"{counted(len(card['training']['micrographs']), 'micrograph')}, {NO_GROUND_TRUTH[card['method']]}"
    )
    run.methods(
        f"For inspection, micrographs were denoised with {PROGRAM} to {resolution:.3g} Å by a "
        f"U-Net that was trained on {learnt}; particles were picked and extracted in the original micrographs."
    )
    return DenoiseMicrographsOutputs(
        micrographs=str(folder),
        files={name: str(path) for name, path in done.items()},
        counts=dict.fromkeys(done, 1),
        model=str(model),
        method=card["method"],
        resolution=resolution,
        pixel_size=config.pixel_size,
    )
