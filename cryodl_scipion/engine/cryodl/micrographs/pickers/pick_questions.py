# SPDX-License-Identifier: GPL-3.0-or-later
"""Questions about picks whose scores do not tell whether they are right, and what their answers say."""

import shlex
import typing
from pathlib import Path

from ...contract import PickConfig, PickOutputs, counted, some_names
from ...io.coordinates import read_coordinates
from ...io.micrographs import micrograph_shape
from ...running.runner import Named, Run
from ..byhand import questions
from .pick_record import CANDIDATES


def answers_for(config: PickConfig, card: typing.Mapping[str, typing.Any]) -> questions.Answered | None:
    """What the folder of answers says of the scores of this model; None without one."""
    if config.answers is None:
        return None
    file = Path(config.answers) / questions.ANSWERS
    if not file.exists():
        raise FileNotFoundError(
            f"{config.answers} (--answers) has no {questions.ANSWERS}: no questions were answered there. "
            "Answer those of an earlier run: cryodl pick-by-hand --ask PICKS/questions.json --coordinates ANSWERS."
        )
    asked = questions.read_questions(file)
    if asked.model != card["weights_sha256"]:
        raise ValueError(
            f"{config.answers} (--answers) has answers about picks of another model than {config.model} (--model). "
            "Give the model that asked; or learn from the answers: cryodl train-picker --start-from."
        )
    try:
        return questions.learn_threshold(asked)
    except ValueError as error:
        raise ValueError(f"{config.answers} (--answers): {error}.") from None


def check_answers(config: PickConfig, asked: questions.Questions, run: Run) -> None:
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


def ask_about_picks(config: PickConfig, named: Named, made: PickOutputs, checksum: str, run: Run) -> str | None:
    """Write the file of questions about picks whose scores do not tell whether they are right, and say how to answer
    it. checksum: of the model's weights. Returns the file, None if there is nothing to ask.

    Questions of an earlier run on the folder stay while they hold: someone may be answering them."""
    diameter = typing.cast("float", made.picked_diameter)
    file, names = Path(config.output) / questions.QUESTIONS, {name for name, _ in named}
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
        asked = questions.choose_questions(found, made.threshold, diameter / config.pixel_size, checksum)
        if asked is None:
            file.unlink(missing_ok=True)
            return None
        asked.write(file)
    micrographs = shlex.join(config.micrographs)
    if not names.issuperset(asked.micrographs):
        micrographs = f"MICROGRAPHS (with {some_names(asked.micrographs)})"
    avoid = "" if config.avoid == PickConfig.avoid else f" --avoid {config.avoid}"
    instead = "" if config.threshold is None and config.threshold_rule == "model" else ", without its threshold or rule"
    guess = " Where particles are few among dirt, a guess of their number tells as much: --expected-particles."
    run.summary(
        f"{counted(len(asked.places), 'question')} about places on {counted(len(asked.micrographs), 'micrograph')} "
        f"would tell more, two minutes of your time: cryodl pick-by-hand --ask {shlex.quote(str(file))} --micrographs "
        f"{micrographs} --pixel-size {config.pixel_size:g} --particle-diameter {diameter:.0f} --coordinates ANSWERS. "
        f"Then pick again with the same model and --answers ANSWERS{avoid}{instead}."
        f"{guess if config.expected_particles is None else ''}"
    )
    return str(file)


def _asked_before(file: Path, checksum: str) -> questions.Questions | None:
    """The questions of a file, if all are about candidates of the folder as they are now."""
    try:
        asked = questions.read_questions(file)
        return asked if asked.model == checksum and all(asked.found_in(file.parent / CANDIDATES)) else None
    except (ValueError, FileNotFoundError):  # none, or damaged: they are chosen anew
        return None
