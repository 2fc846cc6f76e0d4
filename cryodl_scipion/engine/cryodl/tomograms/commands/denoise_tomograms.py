# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl denoise-tomograms`: even and odd halves in, one denoised tomogram each out, its missing wedge filled on
request.

The network learns from the halves themselves, unless --model gives one that has learned before; only with such a one
are tomograms without halves denoised. A finished tomogram is not denoised again, and a model that the folder has is not
trained again. Train a model if there is none, and denoise what is not denoised yet."""

import dataclasses
import os
import typing
from pathlib import Path

import numpy as np
import torch

from ...contract import CARD, DenoiseTomogramsConfig, DenoiseTomogramsOutputs, counted, network_words, read_card
from ...io.model import find_model, read_model
from ...learning.recipe import TrainingRun
from ...running.runner import PROGRAM, Run, command
from ..denoisers import examples, halves, predict, spectra, train
from ..denoisers.controls import control_in_words, control_metrics
from ..features.volumes import FolderRecord
from ..segmenters import working_scale

KIND, MODEL = "tomogram_denoiser", "model"
NAMED = 10  # tomograms whose controls a summary lists
DIFFERENT, TOO_DIFFERENT = 1.1, 2.0  # times the pixel size that a model learned at: warned of; refused


@command
def denoise_tomograms(config: DenoiseTomogramsConfig, run: Run) -> DenoiseTomogramsOutputs:
    named, skipped, notes = halves.named_tomograms(config)
    run.warn(*notes)
    for each in skipped:
        run.skip(each.item, each.path, each.reason)
    total, folder = [*named, *skipped], Path(config.output)
    predict.prepare_outputs(folder, named, config.halves)
    model = find_model(config.model, KIND) if config.model else folder / MODEL
    sources = list(_sources(config, named, run))
    run.require_some(total, "tomogram", "denoised")
    learnt = halves.of_one_pixel_size(sources, DIFFERENT)
    card = read_card(str(model), KIND) if config.model or (model / CARD).exists() else None
    fitted = card or dict(name=model.name, pixel_size=float(np.median([s.pixel_size for s in learnt])))
    sources = list(_fitting(sources, fitted, run))  # what the model will not serve is said before it is trained
    if not card:
        train.train_tomogram_denoiser(TrainingRun(run, dataclasses.replace(config, output=str(model))), config, learnt)
        card = read_card(str(model), KIND)
    run.warn(*predict.model_notes(config, card))
    record = FolderRecord(folder / predict.RECORD, dict(weights=card["weights_sha256"], halves=config.halves))
    done = {one.name for one in named if all(map(os.path.exists, one.paths)) and record.has(one.name, one.paths)}
    todo = [s for s in sources if s.name not in done or record.items[s.name]["pixel_size"] != s.pixel_size]
    print(f"{counted(len(total), 'tomogram')}, {len(sources) - len(todo)} of them already denoised.")
    if todo:
        denoiser = predict.TomogramDenoiser(*read_model(model, KIND), run.device)
        print(f"Denoising on {run.device_name} with {model}.")
    for source in todo:
        with run.item(source.name, source.paths[0]):
            record.put(source.name, source.paths, _denoise_one(source, denoiser, config, folder, run))
    run.require_some(total, "tomogram", "denoised")
    bad = {each.item for each in run.skipped}
    good = [s for s in sources if s.name not in bad]
    even, odd = (
        {s.name: str(folder / f"{s.name}_{half}.mrc") for s in good if config.halves and len(s.paths) == 2}
        for half in predict.HALVES
    )
    outputs = DenoiseTomogramsOutputs(
        tomograms=str(folder),
        files={s.name: str(folder / f"{s.name}.mrc") for s in good},
        even=even,
        odd=odd,
        model=str(model),
        fills_wedge=card["fills_wedge"],
        pixel_sizes={s.name: s.pixel_size for s in good},
        controls={s.name: record.items[s.name]["controls"] for s in good},
    )
    _tell(outputs, card, run)
    return outputs


def _sources(
    config: DenoiseTomogramsConfig, named: typing.Sequence[halves.Named], run: Run
) -> typing.Iterator[halves.HalfSource]:
    for one in named:
        with run.item(one.name, one.paths[0]):
            source, said = halves.open_source(one, config.pixel_size)
            if len(source.paths) == 1 and not config.model:
                raise ValueError(
                    f"{source.paths[0]} has no halves, and training needs two halves with independent noise. "
                    "Reconstruct the even and odd frames (or tilts) separately and give both (--even, --odd), or "
                    "give a --model that was trained on halves of similar tomograms."
                )
            run.warn(*said)
            yield source


def _fitting(sources: list[halves.HalfSource], card: dict, run: Run) -> typing.Iterator[halves.HalfSource]:
    for source in sources:
        with run.item(source.name, source.paths[0]):
            if working_scale.trained_elsewhere(
                source.paths[0], source.pixel_size, card["name"], card["pixel_size"], DIFFERENT, TOO_DIFFERENT
            ):
                run.warn(
                    f"The model {card['name']} was trained at {card['pixel_size']:g} Å/px, but some tomograms have "
                    f"{source.pixel_size:g} Å/px, so their features have another size for it. Train a model on "
                    "tomograms of that pixel size alone."
                )
            yield source


def _denoise_one(
    source: halves.HalfSource,
    denoiser: predict.TomogramDenoiser,
    config: DenoiseTomogramsConfig,
    folder: Path,
    run: Run,
) -> dict:
    card, controls, subvolumes = denoiser.card, {}, halves.subvolumes_of(source)
    skew = float(np.mean([working_scale.skewness(torch.stack(each).mean(0)) for each in subvolumes]))
    run.warn(*working_scale.turned_contrast(source.paths[0], card["name"], skew, card.get("skew", 0.0)))
    if len(source.volumes) == 2:
        scale, _, said = halves.measured_halves(source)
        run.warn(*said)
        controls = control_metrics(
            lambda part: denoiser.answer(part, scale),
            halves.subvolumes_of(source, train.unseen_rows(card, source)),
            scale,
            source.pixel_size,
            examples.Tilts(*card["tilts"]) if card["fills_wedge"] else None,
        )
    else:
        scale = spectra.scale_of_one([one for (one,) in subvolumes], np.array(card["gain"]))
    return dict(
        files=predict.write_denoised(source, denoiser, scale, config, folder),
        pixel_size=source.pixel_size,
        halves=len(source.volumes) == 2,
        controls=controls,
    )


def _tell(made: DenoiseTomogramsOutputs, card: dict, run: Run) -> None:
    filled = ", and the missing wedge filled," if card["fills_wedge"] else ""
    run.summary(
        f"{counted(len(made.files), 'tomogram')} denoised{filled} by the model {card['name']}, at "
        f"{card['pixel_size']:.4g} Å/px: {made.tomograms}/<tomogram>.mrc.",
        "For viewing, annotating and segmenting. Average subtomograms of the original tomograms.",
    )
    known = [(name, metrics) for name, metrics in sorted(made.controls.items()) if metrics]
    run.summary(*(control_in_words(name, metrics) for name, metrics in known[:NAMED]))
    if len(known) > NAMED:
        run.summary(f"... and {len(known) - NAMED} more, in {predict.RECORD}.")
    if len(known) < len(made.controls):
        run.summary("Tomograms without halves have no control: it is not known what was invented in them.")
    learned = len((card.get("training") or {}).get("tomograms") or ())
    run.methods(
        f"{counted(len(made.files), 'tomogram was', 'tomograms were')} denoised{filled} with {PROGRAM} by "
        f"{network_words(KIND, card['network'])} that had learned to predict one half of "
        f"{counted(learned, 'tomogram') if learned else 'tomograms'} from the "
        f"other{', rotated and with a second wedge removed' if filled else ''}."
    )
