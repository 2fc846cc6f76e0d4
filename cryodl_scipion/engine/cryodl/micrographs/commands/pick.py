# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl pick`: micrographs, and a model or templates, in; one <micrograph>.star each out. Pick all micrographs;
those whose candidates are there already are only thresholded anew."""

import dataclasses
import typing
from pathlib import Path

import numpy as np

from ...contract import PickConfig, PickOutputs, counted, network_words, read_card, score_text, some_names
from ...core.geometry import inside
from ...io.coordinates import DECIMALS, read_coordinates, write_coordinates
from ...io.memory import keep_freed_memory
from ...io.micrographs import micrograph_shape, named_micrographs, read_micrograph
from ...io.model import find_model, read_model
from ...runner import PROGRAM, Run, command
from .. import normalize, templates
from ..byhand.questions import (
    ANSWERS,
    QUESTIONS,
    Answered,
    Questions,
    choose_questions,
    learn_threshold,
    read_questions,
)
from ..pickers import ask, load_network, pick_files, picker_method, predict, size
from ..pickers.feature_maps import draw_feature_maps, feature_maps
from ..pickers.pick_record import (
    AVOIDED,
    CANDIDATES,
    PickSettings,
    agree_with_folder,
    are_asked,
    earlier_notes,
    note_asked,
    record_settings,
    settle,
    typical_contrast,
)
from ..pickers.pictures import FEATURE_MAPS, draw_first, forget_picks, has_changed, head_words, made_otherwise

Named = typing.Sequence[tuple[str, str]]  # names and files of micrographs


@command
def pick(config: PickConfig, run: Run) -> PickOutputs:
    named = named_micrographs(config.micrographs, run.names, config.pixel_size)
    keep_freed_memory()
    (Path(config.output) / CANDIDATES).mkdir(parents=True, exist_ok=True)
    if config.method == "templates":
        return templates.pick_by_templates(config, named, run)
    model = find_model(config.model, "picker")
    card = read_card(model, "picker")
    folder = Path(config.output)
    settings, todo = _to_pick(config, named, settle(config, card, model), run)
    run.warn(*earlier_notes(folder / CANDIDATES, named))
    picks = pick_files.Picks(config, model, card, settings, _answers(config, card))
    print(
        f"{counted(len(named), 'micrograph')}, {len(named) - len(todo)} of them already picked; particle diameter "
        + (f"{settings.particle_diameter:g} Å." if settings.particle_diameter else "to be estimated.")
    )
    new = {n for n, _ in todo}
    for name in (n for n, _ in named if n not in new):
        ((yx, scores),) = read_coordinates(folder / CANDIDATES / f"{name}.star").values()
        picks.write(name, yx, scores)
    if todo:
        settings = _pick_new(todo, config, model, settings, picks, run)
    elif config.feature_maps:
        run.warn(
            "No further feature maps (--feature-maps) were drawn: they are drawn while micrographs are picked, and "
            "these were picked before. Give --overwrite to pick them again."
        )
    run.require_some(named, "micrograph", "picked")
    settings = dataclasses.replace(settings, contrast=settings.contrast or typical_contrast(card))
    pictures: dict[str, str] = {}
    if config.pictures:
        good = [(n, p) for n, p in named if n in picks.counts]
        pictures = draw_first(good, folder, config.pictures, config.pixel_size, settings.scale or 0.0)
        print(f"Pictures of {counted(len(pictures), 'micrograph')}: {folder}/pictures")
    made = picks.outputs([n for n, _ in named], settings, pictures)
    run.summary(picks.in_words(made))
    if made.state == "unsure":
        made = dataclasses.replace(made, questions=_ask(config, named, made, settings.weights_sha256, run))
    elif made.state == "clear":
        (folder / QUESTIONS).unlink(missing_ok=True)  # of scores that were unclear
    if picks.answered:
        _check_answers(config, picks.answered.asked, run)
    if picks.guess is not None and not picks.guessed and made.state != "nothing found":
        run.warn(
            f"The {picks.guess:g} expected particles per micrograph (--expected-particles) were not needed: the scores "
            "tell the picks' threshold. --threshold chooses another one."
        )
    run.methods(f"Particles were picked with {PROGRAM}, {model_in_words(card)}, with {picks.rule_in_words()}.")
    if settings.scale is not None and picks.counts and not made.picks:
        run.warn(
            f"There are no picks, assuming {settings.contrast} protein (--contrast). Check pixel size and particle "
            "diameter, or lower the threshold."
        )
    return made


def _answers(config: PickConfig, card: typing.Mapping[str, typing.Any]) -> Answered | None:
    """What the folder of answers says of the scores of this model; None without one."""
    if config.answers is None:
        return None
    file = Path(config.answers) / ANSWERS
    if not file.exists():
        raise FileNotFoundError(
            f"{config.answers} (--answers) has no {ANSWERS}: no questions were answered there. Answer those of an "
            "earlier run: cryodl pick-by-hand --ask PICKS/questions.json --coordinates ANSWERS."
        )
    asked = read_questions(file)
    if asked.model != card["weights_sha256"]:
        raise ValueError(
            f"{config.answers} (--answers) has answers about picks of another model than {config.model} (--model). "
            "Give the model that asked; or learn from the answers: cryodl train-picker --start-from."
        )
    try:
        return learn_threshold(asked)
    except ValueError as error:
        raise ValueError(f"{config.answers} (--answers): {error}.") from None


def _check_answers(config: PickConfig, asked: Questions, run: Run) -> None:
    """Say it where the answers are about other micrographs than those of this folder, or about other scores."""
    found, others = asked.found_in(Path(config.output) / CANDIDATES), "Repeat the command without --answers, and answer"
    if all(here is None for here in found):
        run.warn(
            f"The answers of {config.answers} (--answers) are about {some_names(asked.micrographs)}, and none of these "
            f"micrographs was picked into {config.output}. Their threshold fits only if the particles are the same. "
            f"{others} its questions if they are not."
        )
    elif False in found:
        run.warn(
            f"{found.count(False)} of the {len(found)} places that the answers of {config.answers} (--answers) are "
            f"about are no candidates in {config.output}, or have another score there: it was picked with other "
            f"parameters, and the threshold need not fit. {others} its questions."
        )


def _ask(config: PickConfig, named: Named, made: PickOutputs, checksum: str, run: Run) -> str | None:
    """Write the file of questions about picks whose scores do not tell whether they are right, and say how to answer
    it. checksum: of the model's weights. Returns the file, None if there is nothing to ask.

    Questions of an earlier run on the folder stay while they hold: someone may be answering them."""
    diameter = typing.cast("float", made.picked_diameter)
    file, names = Path(config.output) / QUESTIONS, {name for name, _ in named}
    asked = _asked_before(file, checksum)
    if asked is None or asked.threshold != made.threshold and names.issuperset(asked.micrographs):
        found = {}
        for name, path in named:
            if name in made.candidates:
                try:
                    micrograph_shape(path)
                except (ValueError, OSError) as error:  # picked before, and gone since
                    run.warn(f"No questions are asked about {name}, which cannot be read any more: {error}")
                    continue
                (found[name],) = read_coordinates(made.candidates[name]).values()
        asked = choose_questions(found, made.threshold, diameter / config.pixel_size, checksum)
        if asked is None:
            file.unlink(missing_ok=True)
            return None
        asked.write(file)
    micrographs = " ".join(repr(m) for m in config.micrographs)
    if not names.issuperset(asked.micrographs):
        micrographs = f"MICROGRAPHS (with {some_names(asked.micrographs)})"
    instead = "" if config.threshold is None and config.threshold_rule == "model" else ", and no other threshold"
    run.summary(
        f"{counted(len(asked.places), 'question')} about places on {counted(len(asked.micrographs), 'micrograph')} "
        f"would tell more, two minutes of your time: cryodl pick-by-hand --ask {file} --micrographs {micrographs} "
        f"--pixel-size {config.pixel_size:g} --particle-diameter {diameter:.0f} --coordinates ANSWERS. Then pick "
        f"again with the same model and --answers ANSWERS{instead}."
    )
    return str(file)


def _asked_before(file: Path, checksum: str) -> Questions | None:
    """The questions of a file, if all are about candidates of the folder as they are now."""
    try:
        asked = read_questions(file)
        return asked if asked.model == checksum and all(asked.found_in(file.parent / CANDIDATES)) else None
    except (ValueError, FileNotFoundError):  # none, or damaged: they are chosen anew
        return None


def model_in_words(card: typing.Mapping[str, typing.Any]) -> str:
    """'by the model general (a U-Net, trained on 812 particles of 12 micrographs)'"""
    training = card.get("training") or {}
    learnt = ""
    if "particles" in training:
        learnt = f", trained on {counted(training['particles'], 'particle')} of " + counted(
            len(training.get("micrographs", ())), "micrograph"
        )
    return f"by the model {card['name']} ({network_words('picker', card['network'])}{learnt})"


def _to_pick(
    config: PickConfig, named: Named, settings: PickSettings, run: Run
) -> tuple[PickSettings, list[tuple[str, str]]]:
    """The settings agreed with earlier runs on the folder, and the micrographs without candidates that hold still.

    Candidates that do not hold go before anything is picked, so that a killed run does not leave old and new ones side
    by side."""
    folder, contrast = Path(config.output), settings.contrast
    changed = {name for name, path in named if has_changed(folder, name, path)}
    replaced = {n for n, _ in named if (folder / CANDIDATES / f"{n}.star").exists()} if config.overwrite else changed
    if config.overwrite:
        for name, _ in named:
            forget_picks(folder, name)
    notes: list[str] = []
    settings = agree_with_folder(folder, settings, config.overwrite, replaced, notes)
    run.warn(*notes)
    for name, path in named:
        if name in changed:
            print(f"{path} has changed since it was picked; it is picked again.")
    otherwise = {name for name, _ in named if made_otherwise(folder, name, settings, contrast)} - replaced
    if otherwise:
        run.warn(
            f"{counted(len(otherwise), 'micrograph')} had been picked with other parameters and "
            f"{'is' if len(otherwise) == 1 else 'are'} picked again."
        )
    for name in replaced | otherwise:
        forget_picks(folder, name)
    todo = [(n, p) for n, p in named if not (folder / CANDIDATES / f"{n}.star").exists()]
    for name, _ in todo:  # areas of an earlier run, which may have avoided what this one does not
        (folder / AVOIDED / f"{name}.json").unlink(missing_ok=True)
    return settings, todo


def _pick_new(
    todo: Named, config: PickConfig, model: Path, settings: PickSettings, picks: pick_files.Picks, run: Run
) -> PickSettings:
    """Write candidates and picks of each micrograph as it is done. Returns the settings that hold."""
    picker, card = _picker(model, settings, run)
    settings = _ask_some_micrographs(settings, todo, picker, card, picks.folder, run)
    if settings.scale is None:
        _pick_nothing(todo, config.pixel_size, picks, run)
        return settings
    picker.contrast = typing.cast("str", settings.contrast)  # the micrographs have been asked
    settings.tell(picker)
    if settings.adapted:
        picker.calibration = tuple(settings.adapted["calibration"])
        print(f"Scores are calibrated on {settings.adapted['candidates']} candidates of some micrographs.")
    picks.take_threshold(settings)
    print(f"Picking {settings.contrast} protein on {run.device_name} with {model}: {picks.rule_in_words()}.")
    drawn = 0 if config.overwrite else len(list((picks.folder / FEATURE_MAPS).glob("*.png")))
    before, left_out = drawn, 0
    level = picks.model_threshold if config.threshold is None else config.threshold
    for name, path in run.items(todo, "micrograph"):
        with run.item(name, path, lambda skipped: forget_picks(picks.folder, skipped)):
            image = read_micrograph(path)
            yx, scores = picker.candidates(image, config.pixel_size, settings.scale, settings.distance)
            # the nearest pixel must exist too: Scipion's coordinates are whole numbers
            keep = inside(yx, image.shape, config.border / config.pixel_size) & inside(np.rint(yx), image.shape)
            if drawn < config.feature_maps:
                maps = feature_maps(picker, image, config.pixel_size, settings.scale)
                draw_feature_maps(maps, picks.folder / FEATURE_MAPS / f"{name}.png", name)
                drawn += 1
            if config.avoid != "nothing":
                dark = image if settings.contrast == "dark" else -image  # what is looked for is darker than ice
                areas = pick_files.avoided_areas(dark, config.pixel_size, settings.scale, config.avoid)
                outside = areas.outside(yx)
                left_out += int((keep & ~outside & (scores >= level)).sum())
                keep &= outside
                areas.write(picks.folder / AVOIDED / f"{name}.json")
            write_coordinates(
                picks.folder / CANDIDATES / f"{name}.star",
                yx[keep],
                scores[keep],
                f"cryodl: all candidates of {name}, whatever their score; {head_words(path, settings)}",
            )
            # as they are read back by a run that is continued: what is expected of them must not differ
            picks.write(name, yx[keep], np.round(np.asarray(scores[keep], float), DECIMALS))
    if left_out:
        print(
            f"{counted(left_out, 'candidate')} above {score_text(level)} on {config.avoid} "
            f"{'is' if left_out == 1 else 'are'} left out (--avoid nothing keeps them)."
        )
    if drawn > before:
        print(f"Feature maps of {counted(drawn - before, 'micrograph')}: {picks.folder / FEATURE_MAPS}")
    run.warn(*picker.notes)
    return settings


def _picker(model: Path, settings: PickSettings, run: Run) -> tuple[predict.Picker, typing.Mapping[str, typing.Any]]:
    device = run.device
    card, weights = read_model(model, "picker")
    method = picker_method(card["network"])
    picker = predict.Picker(
        method, load_network(method, weights, model), device, calibration=tuple(card.get("calibration", (1.0, 0.0)))
    )
    picker.spares_outliers = settings.general
    return picker, card


def _ask_some_micrographs(
    settings: PickSettings,
    todo: Named,
    picker: predict.Picker,
    card: typing.Mapping[str, typing.Any],
    folder: Path,
    run: Run,
) -> PickSettings:
    """The settings with what some micrographs tell of size, contrast and scores, agreed with other runs on the
    folder."""
    if not settings.open:
        if todo and (against := ask.ask_contrast(settings, [path for _, path in todo], picker, card)):
            note_asked(folder / CANDIDATES, todo, against)
            run.warn(*against)
        return record_settings(folder, settings)
    if settings.scale is not None and settings.contrast is not None and are_asked(folder / CANDIDATES, todo):
        return settings  # by the same run before it was stopped
    said: list[str] = []
    mine = ask.ask_micrographs(settings, [path for _, path in todo], picker, card, said)
    if mine.scale is None:
        run.warn(*said)
        return mine
    agreed = record_settings(folder, mine)
    if settings.contrast not in (None, agreed.contrast):
        said.append(
            f"The contrast of the first micrographs of {folder} was unclear and they were picked with "
            f"{settings.contrast} protein; these micrographs are picked with {agreed.contrast} protein. To pick all "
            f"with the same contrast, repeat the command with --contrast {agreed.contrast} --overwrite."
        )
    note_asked(folder / CANDIDATES, todo, said)
    run.warn(*said)
    return agreed


def _pick_nothing(todo: Named, pixel_size: float, picks: pick_files.Picks, run: Run) -> None:
    """No pick for micrographs that show no particle of any size; they are asked again when the run is repeated. Those
    that cannot be used are skipped, as ever."""
    sides: list[int] = []
    for name, path in todo:
        with run.item(name, path, lambda skipped: forget_picks(picks.folder, skipped)):
            image = read_micrograph(path)
            normalize.rescale_micrograph(image, min(1.0, 512 / max(image.shape)))
            sides.append(min(image.shape))
            picks.write(name, np.zeros((0, 2)), np.zeros(0))
    if sides:
        sizes = size.scale_grid(pixel_size, min(sides))
        sought = f"from {sizes[0]:.0f} to {sizes[-1]:.0f} Å" if sizes else "that would fit"
        run.warn(
            f"No particles were found in {counted(len(sides), 'micrograph')}, at any size {sought}. They may show "
            "empty ice, carbon or dirt alone, or have too low contrast. They have no picks. Give --particle-diameter "
            "to get the candidates nevertheless."
        )
