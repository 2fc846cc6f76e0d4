# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl pick`: micrographs, and a model or templates, in; one <micrograph>.star each out. Pick all micrographs;
those whose candidates are there already are only thresholded anew."""

import dataclasses
import functools
import typing
from pathlib import Path

from ...contract import PickConfig, PickOutputs, counted, network_words, read_card
from ...io import coordinates, files
from ...io.memory import keep_freed_memory
from ...io.micrographs import named_micrographs, pixel_size_warnings
from ...io.model import find_model
from ...running.runner import PROGRAM, Named, Run, command
from .. import templates
from ..byhand.questions import QUESTIONS
from ..pickers import pick_files, pick_record
from ..pickers.pick_new import pick_new
from ..pickers.pick_questions import answers_for, ask_about_picks, check_answers
from ..pickers.pictures import draw_first, forget_picks, has_changed, made_otherwise


@command
def pick(config: PickConfig, run: Run) -> PickOutputs:
    given = named_micrographs(config.micrographs, run.names, config.pixel_size)
    keep_freed_memory()
    folder = Path(config.output)
    files.prepare_folder(
        given,
        folder,
        ".star",
        b"# cryodl: picks of ",
        [p.stem for p in folder.glob(f"{pick_record.CANDIDATES}/*.star")],
    )
    named = run.of_one_binning(given, config.pixel_size, functools.partial(forget_picks, folder))
    if config.method == "templates":
        return templates.pick_by_templates(config, named, run)
    model = find_model(config.model, "picker")
    card = read_card(model, "picker")
    (folder / pick_record.CANDIDATES).mkdir(parents=True, exist_ok=True)
    settings, todo = _to_pick(config, named, pick_record.settle(config, card, model), run)
    run.warn(*pick_record.earlier_notes(folder / pick_record.CANDIDATES, named))
    picks = pick_files.Picks(config, model, card, settings, answers_for(config, card))
    print(
        f"{counted(len(named), 'micrograph')}, {len(named) - len(todo)} of them already picked; particle diameter "
        + (f"{settings.scale:.4g} Å." if settings.scale else "to be estimated.")
    )
    for name, _ in sorted(set(named) - set(todo)):
        picks.write(
            name, *next(iter(coordinates.read_coordinates(folder / pick_record.CANDIDATES / f"{name}.star").values()))
        )
    if todo:
        settings = pick_new(todo, config, model, settings, picks, run)
    elif config.feature_maps:
        run.warn(
            "No further feature maps (--feature-maps) were drawn: they are drawn while micrographs are picked, and "
            "these were picked before. Give --overwrite to pick them again."
        )
    run.require_some(named, "micrograph", "picked")
    settings = dataclasses.replace(settings, contrast=settings.contrast or pick_record.typical_contrast(card))
    good = [(n, p) for n, p in named if n in picks.counts]
    if pictures := draw_first(good, folder, config.pictures, config.pixel_size, settings.scale or 0.0):
        print(f"Pictures of {counted(len(pictures), 'micrograph')}: {folder}/pictures")
    made = picks.outputs([n for n, _ in named], settings, pictures)
    if not run.names and config.threshold_rule == "model":  # batches share a folder
        run.warn(*pick_files.other_thresholds(folder, {name for name, _ in named}, made.threshold))
    run.summary(
        picks.in_words(made),
        *pixel_size_warnings([path for _, path in good], config.pixel_size, apart=0.3),  # long ago in the log
    )
    if made.state == "unsure" or picks.trusted and not picks.stated:
        made = dataclasses.replace(made, questions=ask_about_picks(config, named, made, settings.weights_sha256, run))
    elif made.state == "clear":
        (folder / QUESTIONS).unlink(missing_ok=True)  # of scores that were unclear
    if picks.answered:
        check_answers(config, picks.answered.asked, run)
    if picks.guess is not None and not picks.guessed:
        few = settings.general and not picks.adapted or not made.picks
        run.warn(
            f"The {picks.guess:g} expected particles per micrograph (--expected-particles) were not "
            f"{'used: too little looks like a particle' if few else 'needed: the scores tell the threshold'}. "
            "--threshold chooses another one."
        )
    elif picks.adapted and picks.guess is not None and picks.guess > (most := len(picks.adapted.by_number)):
        run.warn(
            f"Expected particles (--expected-particles) is {picks.guess:g} per micrograph, and there are {most} "
            "candidates in one: all of them are picked. Give the number that you see."
        )
    run.methods(f"Particles were picked with {PROGRAM}, {model_in_words(card)}, with {picks.rule_in_words()}.")
    if settings.scale is not None and picks.counts and not made.picks:
        run.warn(
            f"There are no picks, assuming {settings.contrast} protein (--contrast). Check pixel size and particle "
            "diameter, or lower the threshold."
        )
    return made


def model_in_words(card: typing.Mapping[str, typing.Any]) -> str:
    """'by the model general (a U-Net, trained last on 812 particles of 12 micrographs)'; last: from other weights."""
    training = card.get("training") or {}
    real, learnt = len(training.get("micrographs", ())), ""
    if "particles" in training:
        seen = counted(real or training.get("simulated_micrographs", 0), f"{'' if real else 'simulated '}micrograph")
        learnt = f", trained{' last' * ('start_from' in training)} on {training['particles']} particles of {seen}"
    return f"by the model {card['name']} ({network_words('picker', card['network'])}{learnt})"


def _to_pick(
    config: PickConfig, named: Named, settings: pick_record.PickSettings, run: Run
) -> tuple[pick_record.PickSettings, list[tuple[str, str]]]:
    """The settings agreed with earlier runs on the folder, and the micrographs without candidates that hold still.

    Candidates that do not hold go before anything is picked: a killed run leaves no old ones beside new ones."""
    folder, contrast = Path(config.output), settings.contrast
    candidates = folder / pick_record.CANDIDATES
    changed = {name for name, path in named if has_changed(folder, name, path)}
    replaced = {n for n, _ in named if (candidates / f"{n}.star").exists()} if config.overwrite else changed
    if config.overwrite:
        for name, _ in named:
            forget_picks(folder, name)
    notes: list[str] = []
    settings = pick_record.agree_with_folder(folder, settings, config.overwrite, replaced, notes)
    run.warn(*notes)
    for name, path in named:
        if name in changed:
            print(f"{path} has changed since it was picked; it is picked again.")
    if otherwise := {name for name, _ in named if made_otherwise(folder, name, settings, contrast)} - replaced:
        run.warn(
            f"{counted(len(otherwise), 'micrograph')} had been picked with other parameters and "
            f"{'is' if len(otherwise) == 1 else 'are'} picked again."
        )
    missing = lambda: [(n, p) for n, p in named if not (candidates / f"{n}.star").exists()]
    again = replaced | otherwise
    if settings.of_few and config.answers is None and not pick_record.are_asked(candidates, missing()):
        again |= {name for name, path in named if Path(path).exists()}  # what was found in a file that is gone stays
        run.warn(
            pick_record.FEW.format(told=counted(len(settings.asked or ()), "micrograph"))
            + " Others keep their picks: to pick all alike, give all with --overwrite."
            * any(file.stem not in dict(named) for file in candidates.glob("*.star"))
        )
        settings = dataclasses.replace(settings, contrast=contrast, assumed=False, size=None, adapted=None)
        for file in (folder / QUESTIONS, candidates / pick_record.ASKED):  # about scores that do not hold
            file.unlink(missing_ok=True)
    for name in again:
        forget_picks(folder, name)
    todo = missing()
    for name, _ in todo:  # areas of an earlier run, which may have avoided what this one does not
        (folder / pick_record.AVOIDED / f"{name}.json").unlink(missing_ok=True)
    return settings, todo
