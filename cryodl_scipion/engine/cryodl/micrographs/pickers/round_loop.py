# SPDX-License-Identifier: GPL-3.0-or-later
"""The loop of automatic picking: train a round on the last one's picks, pick with it, judge it. The rounds of automatic
picking: rounds/<n>/round.json, rounds.csv and rounds.png; which is best, and when to stop."""

import csv
import dataclasses
import os
import time
import typing
from pathlib import Path

from ...contract import AutoPickConfig, PickConfig, Result, best_round, counted, read_card, write_json
from ...core.devices import choose_device, device_name, set_threads
from ...io.coordinates import read_coordinates
from ...io.files import read_kept, whole_file
from ...io.micrographs import micrograph_shape
from ...io.model import copy_model, read_model
from ...io.plots import plot_rounds
from ...learning.task import method_of
from . import load_network
from .crops import LabelledImage
from .method import PickerMethod
from .pick_record import CANDIDATES
from .self_labels import Picked, labels_of, load_images
from .self_training import judge_round, round_agreement, train_round
from .train import MATCH_RADII

RECORD, TABLE, PICTURE = "round.json", "rounds.csv", "rounds.png"
# Confident picks on the micrographs to learn from, and on the held-out ones, below which no round is trained.
MIN_CONFIDENT, MIN_HELD_OUT = 20, 5
# Of the picks that a round shares with the first one. Training moves the doubtful fifth or so; if half of the picks is
# elsewhere, another thing is picked.
MIN_AGREEMENT = 0.5


def round_folder(folder: str | os.PathLike[str], number: int) -> Path:
    """rounds/<number> of an output folder."""
    return Path(folder) / "rounds" / str(number)


def read_round(folder: str | os.PathLike[str], number: int) -> dict[str, typing.Any] | None:
    """The entry of a finished round, or None."""
    path = round_folder(folder, number) / RECORD
    return typing.cast("dict[str, typing.Any]", read_kept(path)) if path.exists() else None


def write_round(folder: str | os.PathLike[str], entries: typing.Sequence[dict[str, typing.Any]]) -> None:
    """Write the last of the entries into its round's folder, which finishes the round, and table and picture of all."""
    with whole_file(Path(folder) / TABLE) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(
            file, fieldnames=[k for k in entries[-1] if k not in ("warnings", "learnt")], extrasaction="ignore"
        )
        writer.writeheader()
        writer.writerows(entries)
    plot_rounds(entries, Path(folder) / PICTURE)
    write_json(round_folder(folder, entries[-1]["round"]) / RECORD, entries[-1])


def round_in_words(entry: dict[str, typing.Any]) -> str:
    """One line of the log about a finished round."""
    words = (
        f"Round {entry['round']}: {counted(entry['picks'], 'pick')} in {counted(entry['micrographs'], 'micrograph')}"
    )
    words += f", {entry['confident']} confident picks on the training micrographs"
    for name, value in (("separation", entry["separation"]), ("agreement with the previous round", entry["agreement"])):
        words += "" if value is None else f"; {name} {value:.3f}"
    return words + "."


def why_stop(
    entries: list[dict[str, typing.Any]], maximum: int, confident: float, corrections: bool = False
) -> tuple[str, bool] | None:
    """Why no further round is trained: a sentence, and whether the user must be warned; None if one is. entries: of all
    rounds so far. maximum: rounds of training that the user allows. confident: minimum score of a confident pick.
    corrections: whether one round learns these, and no other is wanted."""
    last = entries[-1]
    number, found = last["round"], last["confident"] + last["confident_held_out"]
    if corrections:
        return ("corrections teach once", False) if number else None
    if not last["micrographs"]:
        return "no particles were found to train on", True
    too_few = (
        f"the held-out micrographs of round {number} have too few picks to evaluate it (at least 20 are needed, and as "
        f"many positions without a pick); {'it is not used, and ' * bool(number)}the picks are those of round "
        f"{best_round(entries)}. Use more --training-micrographs"
    )
    if number and last["separation"] is None:
        if last["agreement_first"] < MIN_AGREEMENT:
            return (
                f"round {number} drifted away: only {100 * last['agreement_first']:.0f} % of its picks are those "
                "of round 0, so it is not used"
            ), True
        return too_few, True
    if number and best_round(entries) != number:
        return (
            f"round {number} is no better than round {best_round(entries)} (separation {last['separation']:.2f}, "
            f"before {max(e['separation'] for e in entries):.2f})"
        ), False
    if number >= maximum:
        return f"{counted(maximum, 'round')} {'was' if maximum == 1 else 'were'} asked for", False
    if last["micrographs"] < 2:
        return (
            "only one of the training micrographs could be picked, and a round needs one for training and one for "
            f"validation; the picks are those of round {number}"
        ), True
    if last["confident"] < MIN_CONFIDENT or last["confident_held_out"] < MIN_HELD_OUT:
        return (
            f"round {number} has hardly any confident pick ({found} with a score of at least {confident:g} in "
            f"{last['micrographs']} micrographs), too few to train on; the picks are those of round "
            f"{best_round(entries)}. Check them, and particle diameter, pixel size and contrast, or start from "
            "another model"
        ), True
    return (too_few, True) if last["separation"] is None else None


EVERY = 4  # one in so many of the training micrographs is held out


class RoundLoop:
    """Makes one round after the other; what a round left on disk is not made again. config: AutoPickConfig. folder:
    Path of the output. first: folder of the first model. chosen: [(name, path)]. pick: function that does a PickConfig
    of micrographs with names, and returns its Result. teach: makes the model of round 1 of corrections, given its
    folder, the diameter (Å) and the contrast, and says what it learnt; None: rounds learn from their own picks."""

    def __init__(
        self,
        config: AutoPickConfig,
        folder: Path,
        first: Path,
        chosen: typing.Sequence[tuple[str, str]],
        pick: typing.Callable[..., Result],
        seed: int,
        teach: typing.Callable[[str, float, str], list[str]] | None = None,
    ) -> None:
        self.config, self.folder, self.first, self.chosen = config, folder, first, chosen
        self.pick, self.seed, self.teach = pick, seed, teach
        self._diameter = config.particle_diameter

    def _scaled(self) -> AutoPickConfig:
        """The config with the diameter that round 0 picked at: a stated one that the micrographs contradict teaches the
        rims of particles."""
        picked = (read_round(self.folder, 0) or {}).get("picked_diameter")
        diameter = picked or self.config.particle_diameter or self._diameter
        return dataclasses.replace(self.config, particle_diameter=diameter)

    @property
    def reach(self) -> float:
        """px within which two picks are the same."""
        # the diameter of round 0, if it was not stated
        return MATCH_RADII * typing.cast("float", self._scaled().particle_diameter) / 2 / self.config.pixel_size

    def round(self, number: int) -> dict[str, typing.Any]:
        """Train, pick and judge a round. Returns its entry."""
        start, model = time.monotonic(), round_folder(self.folder, number) / "model"
        learnt = self._train(number, model) if number and not model.exists() else None
        if not model.exists():
            copy_model(self.first, model)
        result = self.pick(
            self._pick_config(number, "auto" if number else self.config.contrast), names=[n for n, _ in self.chosen]
        )
        self._diameter = result.outputs["picked_diameter"]
        picked = self._picked(number)
        if self._diameter is None or not picked:
            return dict(
                dict.fromkeys("picks expected_particles micrographs confident confident_held_out".split(), 0),
                **dict.fromkeys("background contamination false_positives".split(), 0),
                round=number,
                **dict.fromkeys("separation agreement agreement_first average_precision picked_diameter".split()),
                threshold=result.outputs["threshold"],
                contrast=result.outputs["contrast"],
                seconds=int(time.monotonic() - start),
                warnings=list(result.warnings),
            )
        images, false = self._images(number, picked, result.outputs["contrast"])
        numbers = {name: min(len(p.scores), int(round(p.scores.sum()))) for name, p in self._picked(0).items()}
        held = held_out(list(picked))
        wide = self._method(number).working_diameter
        separation = judge_round(images, held, picked, numbers, wide) if images else None
        before = [self._picked(n) for n in ((number - 1, 0) if number else ())]
        alike = [round_agreement(picked, one, numbers, held, self.reach) for one in before]
        if alike and alike[1] < MIN_AGREEMENT:
            separation = None
        count = lambda field, names: sum(len(getattr(images[n], field)) for n in names if n in images)
        return dict(
            round=number,
            separation=separation,
            picks=result.outputs["picks"],
            threshold=result.outputs["threshold"],
            expected_particles=result.outputs["expected_particles"]["number"],
            micrographs=len(picked),
            confident=count("positives", [n for n in picked if n not in held]),
            confident_held_out=count("positives", held),
            background=count("negatives", picked),
            contamination=count("contamination", picked),
            false_positives=false,
            agreement=alike[0] if alike else None,
            agreement_first=alike[1] if alike else None,
            average_precision=read_card(model, "picker")["validation"]["average_precision"] if number else None,
            contrast=result.outputs["contrast"],
            clear=result.outputs["state"] == "clear" or result.outputs["expected"] is not None,
            picked_diameter=self._diameter,
            seconds=int(time.monotonic() - start),
            warnings=list(result.warnings),
            **dict(learnt=learnt) if learnt else {},
        )

    def _train(self, number: int, model: Path) -> list[str] | None:
        before, device = round_folder(self.folder, number - 1) / "model", choose_device()
        set_threads()
        contrast = typing.cast("dict[str, typing.Any]", read_round(self.folder, number - 1))["contrast"]
        if self.teach:
            if not (diameter := self._scaled().particle_diameter):
                raise ValueError(
                    "The first model found no particles, so that their size is not known. State it "
                    "(--particle-diameter), and the corrections are learnt."
                )
            return self.teach(str(model), diameter, contrast)
        picked, method = self._picked(number - 1), self._method(number - 1)
        images, _ = self._images(number - 1, picked, contrast)
        held = held_out(list(picked))
        parts = [[image for name, image in images.items() if (name in held) == side] for side in (False, True)]
        print(
            f"Training on {device_name(device)}: {sum(len(im.positives) for im in parts[0])} confident picks in "
            f"{len(parts[0])} micrographs; {len(parts[1])} held out."
        )
        model.parent.mkdir(parents=True, exist_ok=True)
        train_round(
            method,
            load_network(method, read_model(before, "picker")[1], before),
            read_card(before, "picker") | dict(clear=(read_round(self.folder, 0) or {}).get("clear", False)),
            parts,
            [picked[im.name] for im in parts[1]],
            self._scaled(),
            model,
            device,
            contrast,
            self.seed,
        )
        return None

    def _method(self, number: int) -> PickerMethod:
        return method_of("picker", read_card(round_folder(self.folder, number) / "model", "picker")["network"])

    def _pick_config(self, number: int, contrast: str) -> PickConfig:
        """PickConfig of a round's picks on the training micrographs; retrained models know their contrast."""
        c, where = self._scaled() if number else self.config, round_folder(self.folder, number)
        return PickConfig(
            tuple(p for _, p in self.chosen),
            c.pixel_size,
            str(where / "picks"),
            model=str(where / "model"),
            particle_diameter=c.particle_diameter,
            contrast=contrast,
            pictures=0,
            avoid="nothing",  # what lies on contamination teaches as such
        )

    def _picked(self, number: int) -> dict[str, Picked]:
        """{name: Picked} of the training micrographs that a round could pick."""
        folders = [round_folder(self.folder, n) / "picks" / CANDIDATES for n in (number, 0)]
        usable = [(n, p) for n, p in self.chosen if all((folder / f"{n}.star").exists() for folder in folders)]
        return {
            name: Picked(name, path, micrograph_shape(path), *read_coordinates(folders[0] / f"{name}.star")[name])
            for name, path in usable
        }

    def _images(self, number: int, picked: dict[str, Picked], contrast: str) -> tuple[dict[str, LabelledImage], int]:
        """{name: LabelledImage} with the labels that a round's picks give, and how many false positives of the round
        before are among the background."""
        sure = lambda p: p.yx[p.scores >= self.config.confident]
        earlier = {n: sure(p) for n, p in self._picked(number - 1).items()} if number else {}
        labels, false = zip(
            *(labels_of(p, self.config.confident, earlier.get(n, p.yx[:0]), self.reach) for n, p in picked.items())
        )
        images = load_images(labels, self._method(number), self._scaled(), contrast)
        return {image.name: image for image in images}, sum(false)


def held_out(names: typing.Sequence[str]) -> typing.Sequence[str]:
    """The micrographs that are judged and not learnt from; at least one of two or more, none of one."""
    return names[1::EVERY]
