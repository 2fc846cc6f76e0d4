# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl pick-by-hand`: a window to pick particles, or to correct picks; it ends when the window is closed.

<coordinates>/<micrograph>.star, removed/<micrograph>.star and ignored/<micrograph>.mrc, see byhand/store.py. Every
change is saved when it ends: whatever happens to the window, what was picked is in the folder."""

import shlex
from pathlib import Path

from ...contract import PickByHandConfig, PickByHandOutputs, absent, counted
from ...io.micrographs import named_micrographs
from ...running.runner import Run, command
from ..byhand import asking, window
from ..byhand.questions import QUESTIONS, Questions, read_questions
from ..byhand.session import HandSession
from ..byhand.store import HandPicks, notes_of_labels
from ..pickers.pick_record import record_of


@command
def pick_by_hand(config: PickByHandConfig, run: Run) -> PickByHandOutputs:
    named = named_micrographs(config.micrographs, run.names, config.pixel_size)
    questions = _questions(config.ask) if config.ask else None
    start = str(Path(config.ask).parent) if config.ask else config.start_from or ""
    store = HandPicks(config.coordinates, [name for name, _ in named], start)
    run.warn(*notes_of_labels(config.coordinates, named))
    sizes, title = (config.pixel_size, config.particle_diameter), f"cryodl pick-by-hand: {config.coordinates}"
    session: HandSession | asking.AskSession
    estimate = None
    if questions:
        session = asking.AskSession(named, store, *sizes, questions)
        asking.show_questions(session, title)
        estimate = session.questions.estimate()
        run.summary(f"{session.answered} of {counted(len(questions.places), 'question')} are answered.")
    else:
        session = HandSession(named, store, *sizes)
        window.show_pick_window(session, title)
    if session.failed and not (isinstance(session, HandSession) and session.save(painted=True)):
        raise OSError(session.message)
    picked = {name: store.read(name) for name, _ in named if (store.folder / f"{name}.star").exists()}
    counts = {name: len(picks) for name, (picks, _) in picked.items()}
    removed = {name: len(gone) for name, (_, gone) in picked.items()}
    run.summary(
        f"{counted(sum(counts.values()), 'pick')} in {counted(len(picked), 'micrograph')} ({len(session.touched)} "
        f"changed in this session), {sum(removed.values())} removed: {config.coordinates}"
    )
    if estimate:
        run.summary(estimate.in_words())
    run.methods("Particles were picked or corrected by hand.")
    if not picked:
        run.warn("Nothing was picked.")
    _say_training(config, any(not p.certain for picks, _ in picked.values() for p in picks))
    return PickByHandOutputs(
        folder=str(config.coordinates),
        counts=counts,
        removed=removed,
        changed=sorted(session.touched),
        pixel_size=config.pixel_size,
        precision=list(estimate.precision) if estimate else None,
    )


def _questions(path: str) -> Questions:
    if not Path(path).is_file():
        raise FileNotFoundError(
            f"{path} (--ask) {absent(path)}. Give the {QUESTIONS} that `cryodl pick` wrote into its output folder "
            "because it was unsure; without it, it asks nothing."
        )
    questions, folder = read_questions(path), Path(path).parent
    if missing := [name for name in questions.micrographs if not (folder / f"{name}.star").exists()]:
        raise FileNotFoundError(
            f"{folder} has no {missing[0]}.star, the picks that {path} (--ask) is about. Give the file in the folder "
            "that `cryodl pick` wrote, with its picks."
        )
    return questions


def _say_training(config: PickByHandConfig, partial: bool) -> None:
    """The command that learns from the labels. partial: some picks were not confirmed."""
    if config.ask:
        print(f"Repeat the command that picked, with --answers {shlex.quote(config.coordinates)}.")
        return
    words = ["cryodl", "train-picker", "--micrographs", *config.micrographs, "--coordinates", config.coordinates]
    words += ["--pixel-size", f"{config.pixel_size:g}", "--particle-diameter", f"{config.particle_diameter:g}"]
    words += ["--start-from", "general"] * partial
    if config.start_from and record_of(config.start_from).get("contrast") == "bright":
        words += ["--contrast", "bright"]  # few labels of faint particles do not tell it
    print(f"Train on them:\n  {shlex.join(words)} --output MODEL")
    if partial:
        print(
            "Some picks were not confirmed: training uses confirmed picks as particles, removed picks as background, "
            "and some of the picks that you left on corrected micrographs as particles, too: remove wrong ones. "
            "`cryodl auto-pick --corrections` uses both beside its own confident picks."
        )
