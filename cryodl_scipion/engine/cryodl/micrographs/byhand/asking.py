# SPDX-License-Identifier: GPL-3.0-or-later
"""The window of questions: one place after the other, and what was answered becomes corrected picks."""

import dataclasses
import time
import typing

from matplotlib.patches import Circle

from ...io.windows import KeyWindow, open_figure, show_until_closed
from .questions import ANSWERS, NO, UNCLEAR, YES, Question, Questions, read_questions
from .session import Shown
from .store import HandPicks, Pick

SIZE = 8.4, 9.2  # inches
WIDE = 6.0  # diameters that are shown across: the neighbours tell what a particle looks like here
REACH = 0.25  # diameters within which a pick is the one that was asked about
SEEN = 0.3  # s: nobody has seen a question that is answered so soon after a click, or after a key was let go
_WAYS_OUT = "Work at the machine's screen, or over ssh -X."
BUTTONS = (("y", "Yes (y)"), ("n", "No (n)"), ("u", "Cannot tell (u)"), ("b", "Back (b)"))
HELP = (
    "Is there a particle in the circle? If it lies beside the circle's centre, click on its centre.\nl L = more, less "
    "low-pass; c C = contrast. Every answer is saved at once; a closed window goes on where it was."
)


class AskSession(Shown):
    """Questions of a file, or of an earlier session with their answers. micrographs: [(name, file)]. store: of picks
    and answers.json. diameter: Å. Raises ValueError for missing micrographs, or a folder of something else."""

    busy = False  # no action takes time

    def __init__(
        self,
        micrographs: list[tuple[str, str]],
        store: HandPicks,
        pixel_size: float,
        diameter: float,
        questions: Questions,
    ) -> None:
        self.store, self.diameter = store, diameter / pixel_size
        if (before := store.folder / ANSWERS).exists():
            answers = read_questions(before)
            mine, theirs = ([(q.micrograph, q.y, q.x) for q in one.places] for one in (answers, questions))
            if mine != theirs:
                raise ValueError(f"{before} answers other questions. Choose another folder (--coordinates).")
            questions = answers
        elif any((store.folder / f"{name}.star").exists() for name in questions.micrographs):
            raise ValueError(
                f"{store.folder} (--coordinates) has picks of these micrographs that are no answers; they would be "
                "lost. Choose another folder."
            )
        self.questions = questions
        if missing := [name for name in questions.micrographs if name not in dict(micrographs)]:
            raise ValueError(
                f"The questions are about the micrograph {missing[0]}, which is not among the given ones "
                "(--micrographs). Give the micrographs that were picked."
            )
        Shown.__init__(self, micrographs, pixel_size, diameter)
        self.low_pass = self._filters[-1]  # what is asked about is faint
        self.at, self.ended = -1, False
        self.go(next((i for i, q in enumerate(questions.places) if not q.answer), len(questions.places) - 1))

    @property
    def place(self) -> Question:
        """What is asked now."""
        return self.questions.places[self.at]

    @property
    def answered(self) -> int:
        """How many questions have an answer."""
        return sum(bool(q.answer) for q in self.questions.places)

    def go(self, number: int) -> None:
        """Show a question, the first or last one beyond the ends; beyond the last one no key answers any."""
        self.ended, self.at = number >= (count := len(self.questions.places)), min(max(number, 0), count - 1)
        index = [name for name, _ in self.micrographs].index(self.place.micrograph)
        if index != self.number or not hasattr(self, "full") or not self.readable:
            try:
                self.load(index)
            except (ValueError, OSError) as error:
                self.number, self.message = index, str(error)
                self.blank()

    def answer(self, word: str, at: tuple[float, float] | None = None) -> None:
        """Answer the question that is shown, save, and go on. at: (y, x) px of the particle's true centre."""
        if self.ended:
            self.message = "That was the last question. Press b to change its answer, or close the window."
            return
        if not self.readable and word != UNCLEAR:
            self.message = f"Not answered: {self.micrographs[self.number][1]} cannot be read. Press u to go on."
            return
        y, x = self.place.at or (self.place.y, self.place.x)  # the circle's middle
        if at and (at[0] - y) ** 2 + (at[1] - x) ** 2 > (self.diameter / 2) ** 2:
            self.message = "Not answered: click within the circle, or press n if there is no particle in it."
            return
        old, new = self.questions.places, dataclasses.replace(self.place, answer=word, at=at)
        self.questions = dataclasses.replace(self.questions, places=(*old[: self.at], new, *old[self.at + 1 :]))
        self.message = f"Question {self.at + 1}: {word}{'' if at is None else ', its centre moved'}."
        picks = lambda: self.store.write(self.place.micrograph, *self._picks(), self.micrographs[self.number][1])
        if self.saved(picks, lambda: self.questions.write(self.store.folder / ANSWERS)):
            self.go(self.at + 1)

    def _picks(self) -> tuple[list[Pick], list[Pick]]:
        """Picks and removed picks of the micrograph that is asked about, by all its answers."""
        picks, removed = self.store.started(self.place.micrograph), list[Pick]()
        for asked in self.questions.places:
            if asked.micrograph != self.place.micrograph or not asked.answer:
                continue
            picks = [p for p in picks if (p.y - asked.y) ** 2 + (p.x - asked.x) ** 2 > (REACH * self.diameter) ** 2]
            if asked.answer == YES:
                picks.append(Pick(*(asked.at or (asked.y, asked.x)), asked.score))
            elif asked.answer == NO:
                removed.append(Pick(asked.y, asked.x, asked.score))
        return picks, removed


def show_questions(session: AskSession, title: str) -> None:
    """Open the window, and return when it is closed. Raises ValueError if there is no screen for it."""
    show_until_closed(AskWindow(open_figure(title, SIZE, "window of questions", _WAYS_OUT), session))


class AskWindow(KeyWindow):
    """Of an AskSession."""

    def __init__(self, figure: typing.Any, session: AskSession) -> None:
        KeyWindow.__init__(self, figure, session, HELP)
        self.axes, self._last = figure.add_axes((0.02, 0.13, 0.96, 0.81)), -SEEN
        figure.canvas.mpl_connect("key_release_event", lambda event: setattr(self, "_last", time.monotonic()))
        self.keys = {
            "y": lambda: self.answer(YES),
            "n": lambda: self.answer(NO),
            "u": lambda: self.answer(UNCLEAR),
            "b": lambda: session.go(session.at - (not session.ended)),
            "l": lambda: session.change_low_pass(1),
            "L": lambda: session.change_low_pass(-1),
            "c": lambda: session.change_contrast(1),
            "C": lambda: session.change_contrast(-1),
        }
        for column, (key, label) in enumerate(BUTTONS):
            self.add_button(key, label, (0.02 + 0.245 * column, 0.072, 0.225, 0.045))
        self.refresh()

    def answer(self, word: str, at: tuple[float, float] | None = None) -> None:
        """Answer, unless it follows at once: then it is of a double click, or of a key that is held down."""
        before, self._last = self._last, time.monotonic()
        if self._last - before > SEEN:
            self.session.answer(word, at)

    def press(self, event: typing.Any) -> None:
        """A click into the picture says where the particle is."""
        if (event.button, event.dblclick, event.inaxes) == (1, False, self.axes) and self.session.inside(
            event.ydata, event.xdata
        ):
            self.do(lambda: self.answer(YES, (event.ydata, event.xdata)))

    def refresh(self) -> None:
        """Draw the place that is asked about."""
        s, axes = self.session, self.axes
        place, half = s.place, WIDE / 2 * s.diameter
        axes.clear()
        axes.set_axis_off()
        if s.readable:
            part, extent = s.picture((place.y - half, place.y + half), (place.x - half, place.x + half))
            low, high = s.limits()
            axes.imshow(part, cmap="gray", extent=extent, vmin=low, vmax=high, interpolation="bilinear")
        axes.set(xlim=(place.x - half, place.x + half), ylim=(place.y + half, place.y - half))
        axes.add_patch(Circle((place.at or (place.y, place.x))[::-1], s.diameter / 2, fc="none", ec="#19e57b", lw=1.8))
        done = s.answered == len(s.questions.places)
        self.say(
            ("All questions are answered; close the window.  |  " if done else "")
            + f"Question {s.at + 1} of {len(s.questions.places)}  |  {place.micrograph[-24 if done else -48 :]}",
            s.message + (f"  Answered here: {place.answer}." if place.answer else ""),
            s.failed or not s.readable,
        )
        self.figure.canvas.draw_idle()
