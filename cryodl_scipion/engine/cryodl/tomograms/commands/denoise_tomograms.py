# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl denoise-tomograms`: even and odd halves in, one denoised tomogram each out, its missing wedge filled on
request.

The network learns from the halves themselves, unless --model gives one that has learned before; only with such a one
are tomograms without halves denoised. A finished tomogram is not denoised again, and a model that the folder has is not
trained again. Result.outputs are the contract's DenoiseTomogramsOutputs. Bad tomograms are in Result.skipped.
"""

from __future__ import annotations

import typing
from pathlib import Path

from ...contract import CARD, AllSkipped, Result, Skipped, counted, in_words, read_card, said_skipped
from ...contract.result import write_json
from ...contract.tomograms.denoising import DenoiseTomogramsOutputs
from ...io.memory import one_item
from ...io.model import find_model, read_model
from ...io.stamps import stamp
from ...io.warn import warn

if typing.TYPE_CHECKING:
    from ...contract import DenoiseTomogramsConfig
    from ..denoisers.halves import HalfSource
    from ..denoisers.named import Named
    from ..denoisers.predict import TomogramDenoiser

KIND, MODEL = "tomogram_denoiser", "model"
DIFFERENT, TOO_DIFFERENT = 1.1, 2.0  # times the pixel size that a model learned at: warned of; refused


def run(config: DenoiseTomogramsConfig) -> Result:
    """Train a model if there is none, and denoise what is not denoised yet."""
    from ..denoisers.named import named_tomograms
    from ..denoisers.written import finished, model_notes, read_record

    named, skipped, notes = named_tomograms(config)
    folder = Path(config.output)
    folder.mkdir(parents=True, exist_ok=True)
    card = read_card(str(find_model(config.model, KIND)), KIND) if config.model else None
    sources = _sources(config, named, card, skipped, notes)
    total = len(sources) + len(skipped)
    if not sources:
        raise AllSkipped(f"None of the {total} tomograms can be denoised. The first: {in_words(skipped[0])}")
    model = _model(config, sources, folder)
    card = read_card(str(model), KIND)
    sources = _fitting(sources, card, skipped, notes)
    notes += model_notes(config, card)
    for note in dict.fromkeys(notes):
        warn(note)
    record = read_record(folder, config, card)
    todo = [s for s in sources if not finished(s, record, folder)]
    print(f"{counted(total, 'tomogram')}, {len(sources) - len(todo)} of them already denoised.")
    device = _denoise(todo, config, model, folder, record, skipped, notes) if todo else "none: nothing was denoised"
    if len(skipped) == total:
        raise AllSkipped(f"None of the {total} tomograms could be denoised. The first: {in_words(skipped[0])}")
    notes += said_skipped(skipped, "tomogram")
    outputs = _outputs(config, sources, {item.item for item in skipped}, folder, model, card, record)
    print(
        f"{counted(len(outputs['files']), 'denoised tomogram')}: {folder}/<tomogram>.mrc. They are for viewing and "
        "segmenting; average subtomograms of the original tomograms."
    )
    return Result(
        "denoise-tomograms", outputs, device=device, skipped=tuple(skipped), warnings=tuple(dict.fromkeys(notes))
    )


def _sources(
    config: DenoiseTomogramsConfig, named: list[Named], card: dict | None, skipped: list[Skipped], notes: list[str]
) -> list[HalfSource]:
    """Sources of the tomograms that can be read; the others go to skipped."""
    from ..denoisers.halves import open_source

    found = []
    for one in named:
        try:
            source, said = open_source(one, config.pixel_size, card["pixel_size"] if card else None)
            if len(source.paths) == 1 and card is None:
                raise ValueError(
                    f"{source.paths[0]} has no halves, and training needs two halves with independent noise. "
                    "Reconstruct the even and odd frames (or tilts) separately and give both (--even, --odd), or "
                    "give a --model that was trained on halves of similar tomograms."
                )
        except (ValueError, FileNotFoundError) as error:
            _skip(one, error, skipped)
            continue
        found.append(source)
        notes += said
    return found


def _skip(one: Named | HalfSource, error: object, skipped: list[Skipped]) -> None:
    skipped.append(Skipped(one.name, one.paths[0], str(error)))
    print(f"Skipped {in_words(skipped[-1])}")


def _model(config: DenoiseTomogramsConfig, sources: list[HalfSource], folder: Path) -> Path:
    """Folder of the model to use: the given one, one that an earlier run trained here, or one that is trained now."""
    if config.model:
        return find_model(config.model, KIND)
    if not (folder / MODEL / CARD).exists():
        from ..denoisers.train import train_tomogram_denoiser

        train_tomogram_denoiser(config, [s for s in sources if len(s.paths) == 2], folder / MODEL)
    return folder / MODEL


def _fitting(sources: list[HalfSource], card: dict, skipped: list[Skipped], notes: list[str]) -> list[HalfSource]:
    """Sources whose pixel size the model can serve; the others go to skipped."""
    kept = []
    for source in sources:
        times = max(source.pixel_size / card["pixel_size"], card["pixel_size"] / source.pixel_size)
        if times > TOO_DIFFERENT:
            _skip(
                source,
                f"{source.paths[0]} has {source.pixel_size:g} Å/px; the model {card['name']} was trained at "
                f"{card['pixel_size']:g} Å/px. The difference is too large. Bin the tomogram, or train a model on it.",
                skipped,
            )
            continue
        if times > DIFFERENT:
            notes.append(
                f"The model {card['name']} was trained at {card['pixel_size']:g} Å/px, but some tomograms have "
                f"{source.pixel_size:g} Å/px, so their features have another size for it. Train a model on them."
            )
        kept.append(source)
    return kept


def _denoise(
    todo: list[HalfSource],
    config: DenoiseTomogramsConfig,
    model: Path,
    folder: Path,
    record: dict,
    skipped: list[Skipped],
    notes: list[str],
) -> str:
    """Write the denoised tomograms one after the other. Returns the device in words."""
    from ...core.devices import choose_device, device_name, set_threads
    from ..denoisers.predict import TomogramDenoiser
    from ..denoisers.written import RECORD

    device = choose_device()
    set_threads()
    denoiser = TomogramDenoiser(*read_model(model, KIND), device)
    print(f"Denoising on {device_name(device)} with {model}.")
    for source in todo:
        try:
            with one_item(source.paths[0]):
                record["tomograms"][source.name] = _denoise_one(source, denoiser, config, folder, notes)
        except (ValueError, FileNotFoundError) as error:
            _skip(source, error, skipped)
            continue
        write_json(str(folder / RECORD), record)
    return device_name(device)


def _denoise_one(
    source: HalfSource, denoiser: TomogramDenoiser, config: DenoiseTomogramsConfig, folder: Path, notes: list[str]
) -> dict:
    """Write one tomogram. Returns its entry in denoise.json."""
    import numpy as np

    from ..denoisers.controls import control_in_words, control_metrics
    from ..denoisers.examples import Tilts
    from ..denoisers.halves import measured_halves, subvolumes_of
    from ..denoisers.spectra import scale_of_one
    from ..denoisers.train import unseen_rows
    from ..denoisers.written import write_denoised

    card, controls = denoiser.card, {}
    if len(source.volumes) == 2:
        scale, _, said = measured_halves(source)
        for note in said:
            warn(note)
        notes += said
        tilts = Tilts(*card["tilts"]) if card["fills_wedge"] else None
        subvolumes = subvolumes_of(source, unseen_rows(card, source))
        controls = control_metrics(
            lambda subvolume: denoiser.answer(subvolume, scale), subvolumes, scale, source.pixel_size, tilts
        )
        print(control_in_words(source.name, controls))
    else:
        scale = scale_of_one([subvolume for (subvolume,) in subvolumes_of(source)], np.array(card["gain"]))
    files = write_denoised(source, denoiser, scale, config, folder)
    return dict(
        files=files,
        made_of=stamp(*source.paths),
        pixel_size=source.pixel_size,
        halves=len(source.volumes) == 2,
        controls=controls,
    )


def _outputs(
    config: DenoiseTomogramsConfig,
    sources: list[HalfSource],
    bad: set[str],
    folder: Path,
    model: Path,
    card: dict,
    record: dict,
) -> DenoiseTomogramsOutputs:
    """Result.outputs of the tomograms that are in the folder now."""
    from ..denoisers.written import HALVES

    good = [s for s in sources if s.name not in bad]
    halves = [s for s in good if config.halves and len(s.paths) == 2]
    return DenoiseTomogramsOutputs(
        tomograms=str(folder),
        files={s.name: str(folder / f"{s.name}.mrc") for s in good},
        **{half: {s.name: str(folder / f"{s.name}_{half}.mrc") for s in halves} for half in HALVES},
        model=str(model),
        fills_wedge=card["fills_wedge"],
        pixel_sizes={s.name: s.pixel_size for s in good},
        controls={s.name: record["tomograms"][s.name]["controls"] for s in good},
    )
