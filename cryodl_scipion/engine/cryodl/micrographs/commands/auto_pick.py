# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl auto-pick`: micrographs in; picks, and a model that learnt these micrographs, out.

Round 0 picks some micrographs with the first model. Each further round learns from the sure picks of the round before,
and is judged on held-out micrographs by an observer that knows no network (self_training.py). The best round picks
everything. Corrections are learnt in one round, as by train-picker. A killed run continues where it was."""

import dataclasses
import shutil
import typing
from pathlib import Path

from ...contract import (
    MIN_PARTICLES,
    AutoPickConfig,
    AutoPickOutputs,
    PickConfig,
    TrainPickerConfig,
    config_to_dict,
    counted,
    read_card,
    write_json,
)
from ...io import files, stamps
from ...io.model import copy_model, find_model
from ...running.runner import PROGRAM, Run, command
from ..byhand.store import notes_of_labels, read_corrections
from ..pickers.pick_record import RECORD as PICK_RECORD
from ..pickers.round_loop import RoundLoop, best_round, read_round, round_folder, round_in_words, why_stop, write_round
from .pick import model_in_words, pick
from .train_picker import train_picker

SETTINGS = "auto_pick.json"
# What may differ when a run is continued; of the micrographs, only those that the rounds learn from are bound.
FREE = ("output", "micrographs", "names", "rounds", "training_micrographs", "threshold", "device", "threads")


@command
def auto_pick(config: AutoPickConfig, run: Run) -> AutoPickOutputs:
    named = files.name_micrographs(files.expand_paths(config.micrographs, run.names), run.names)
    folder, first = Path(config.output), find_model(config.model, "picker")
    card, chosen = read_card(first, "picker"), files.evenly_spaced(named, config.training_micrographs)
    if config.corrections:
        found = read_corrections(config.corrections, [name for name, _ in named])
        run.warn(*notes_of_labels(config.corrections, named))
        count = sum(map(len, (*found.certain.values(), *found.removed.values())))
        if count < MIN_PARTICLES:
            raise ValueError(
                f"{config.corrections} (--corrections) has {count} confirmed or removed picks for these micrographs; "
                f"at least {MIN_PARTICLES} are needed. Correct more, or leave --corrections out."
            )
    _check_same_run(folder, config, card, chosen, run.seed)
    teach = _taught_by(config, first, card["network"], run) if config.corrections else None
    entries, loop = list[dict[str, typing.Any]](), RoundLoop(config, folder, first, chosen, pick, run.seed, teach)
    stop = None
    while not stop:
        number = len(entries)
        entry = read_round(folder, number)
        if entry is None:
            learnt = "corrections" if teach else f"picks of round {number - 1}"
            print(f"Round {number}: training on the {learnt}." if number else "Round 0: picking with the first model.")
            run.take_device()
            entry = loop.round(number)
            write_round(folder, entries + [entry])
        entries.append(entry)
        run.warn(*entry["warnings"])
        run.summary(round_in_words(entry), *entry.get("learnt", ()))
        stop = why_stop(entries, config.rounds, config.confident, bool(teach))
    if read_round(folder, len(entries)):  # more rounds were asked for before: the table holds those that count now
        write_round(folder, entries)
    best = len(entries) - 1 if teach else best_round(entries)
    run.summary(f"The rounds ended: {stop[0]}. Round {best} picks all micrographs.")
    if stop[1]:
        run.warn(f"The rounds of training ended early: {stop[0]}.")
    rounds = "" if teach else f", retrained in {counted(len(entries) - 1, 'round')} on its own confident picks"
    labels = "after corrections by hand" if teach and best else "without labels"
    run.methods(f"Particles were picked with {PROGRAM} {labels}, {model_in_words(card)}{rounds * (len(entries) > 1)}.")
    return _pick_all(config, folder, entries, best, stop[0], run)


def _taught_by(
    config: AutoPickConfig, first: Path, network: str, run: Run
) -> typing.Callable[[str, float, str], list[str]]:
    """What learns the corrections: a function of the new model's folder, the diameter (Å) and the contrast."""

    def teach(model: str, diameter: float, contrast: str) -> list[str]:
        own: typing.Any = dict(network=network, contrast=contrast, start_from=str(first), steps=config.steps)
        labels = (config.micrographs, str(config.corrections), config.pixel_size, diameter, model)
        made = train_picker(TrainPickerConfig(*labels, **own), seed=run.seed, names=run.names)
        return [*made.summary, *made.methods]

    return teach


def _check_same_run(
    folder: Path,
    config: AutoPickConfig,
    card: typing.Mapping[str, typing.Any],
    chosen: typing.Sequence[tuple[str, str]],
    seed: int,
) -> None:
    mine = {k: v for k, v in config_to_dict(config).items() if k not in FREE}
    mine.update(
        seed=seed,
        model=card["weights_sha256"],
        training_micrographs=[name for name, _ in chosen],
        files=stamps.stamp(*(path for _, path in chosen if Path(path).exists())),
        corrections=config.corrections
        and "once: "  # they taught in every round before
        + stamps.stamp(
            *sorted(path for path in Path(config.corrections).rglob("*") if path.is_file() and path.name[0] != ".")
        ),
    )
    record, strange = folder / SETTINGS, [name for name in (PICK_RECORD, "model") if (folder / name).exists()]
    if strange and not record.exists():
        raise ValueError(
            f"{folder} (--output) contains {' and '.join(strange)}, which auto-pick did not write and does not "
            "replace. Choose another folder."
        )
    found = files.read_kept(record) if record.exists() else mine
    if read_round(folder, 0):
        phrases = dict(
            model="another first model",
            training_micrographs="other training micrographs",
            files="micrographs whose files have changed",
            corrections="other corrections",
        )
        other = [
            phrases.get(k) or f"{k.replace('_', ' ')} {found.get(k)} (now {v})"
            for k, v in mine.items()
            if found.get(k, v if k == "files" else None) != v
        ]
        if other:
            raise ValueError(
                f"{folder} has rounds made with other parameters: {'; '.join(other)}. Choose another --output, or "
                "remove the folder. To pick further micrographs with its model, run `cryodl pick --model "
                f"{folder}/model`."
            )
    elif found != mine:
        # that run failed before it found anything: it binds nobody
        shutil.rmtree(folder / "rounds", ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(record, mine)


def _pick_all(
    config: AutoPickConfig, folder: Path, entries: list[dict[str, typing.Any]], best: int, reason: str, run: Run
) -> AutoPickOutputs:
    source, model = round_folder(folder, best) / "model", folder / "model"
    checksum = read_card(source)["weights_sha256"]
    if model.exists() and read_card(model)["weights_sha256"] != checksum:
        shutil.rmtree(model)
    if not model.exists():
        copy_model(source, model)
    record = folder / PICK_RECORD
    other = record.exists() and files.read_kept(record)["weights_sha256"] != checksum
    diameter = entries[0].get("picked_diameter") or config.particle_diameter
    picked = pick(
        PickConfig(
            config.micrographs,
            config.pixel_size,
            str(folder),
            model=str(model),
            particle_diameter=diameter,
            threshold=config.threshold,
            overwrite=other,
            contrast=entries[best]["contrast"],
            avoid=PickConfig.avoid if config.corrections else "nothing",  # rounds teach what contamination is
        ),
        names=run.names,
    )
    if picked.device != "none":
        run.take_device()
    run.skipped += picked.skipped
    run.summary_sentences += picked.summary
    return dataclasses.replace(
        AutoPickOutputs.of(picked.outputs),
        particle_diameter=config.particle_diameter or diameter,
        rounds=entries,
        best_round=best,
        stop_reason=reason,
    )
