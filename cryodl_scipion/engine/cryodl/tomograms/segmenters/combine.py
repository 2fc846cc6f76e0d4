# SPDX-License-Identifier: GPL-3.0-or-later
"""Models of several features and annotators: which volumes they make together, and how well they agree."""

import dataclasses
import os
import typing

import numpy as np
import torch

from ...io.files import lists_by_key
from ..evaluation.measure import Summed

MINIMUM = 1e-4  # scores are as far from 0 and 1 as this, for finite log odds: float16 knows no finer steps below 1


@dataclasses.dataclass(frozen=True)
class CombinedFeature:
    """A volume of scores to make. name: in file names and tables. models: numbers of the models that it is made of.
    annotators, thresholds: theirs. rule: how the tomogram moves the threshold, as predict.NoiseAnswer.raised takes it;
    None where it stays."""

    name: str
    models: tuple[int, ...]
    annotators: tuple[str, ...]
    thresholds: tuple[float, ...]
    rule: tuple[float, float, float] | None = None

    @property
    def threshold(self) -> float:
        """Score of the volume from which a voxel belongs to the feature."""
        return float(combined_scores(torch.tensor(self.thresholds, dtype=torch.float64)))


def combined_features(
    cards: typing.Sequence[typing.Mapping[str, typing.Any]],
    folders: typing.Sequence[str | os.PathLike[str]],
    annotators: str,
) -> tuple[CombinedFeature, ...]:
    """The Features that models make, in the order of the models. cards: of the models. folders: of the models, for
    messages. annotators: 'combined' or 'each', as SegmentConfig says. Raises ValueError if a model is given twice, if a
    name cannot stand in a file's name, or if two volumes would have the same name."""
    _check(cards, folders)
    combined = by_feature(cards)
    if annotators == "combined":
        return combined
    alone = {f.name for f in combined if len(f.models) == 1}
    features = tuple(
        CombinedFeature(
            c["feature"] if c["feature"] in alone else f"{c['feature']}@{c['annotator']}",
            (n,),
            (c["annotator"],),
            (c["threshold"],),
            _mean_rule([c]),
        )
        for n, c in enumerate(cards)
    )
    for n, feature in enumerate(features):
        twin = next((m for m in range(n) if features[m].name == feature.name), None)
        if twin is not None:
            raise ValueError(
                f"The models {folders[twin]} and {folders[n]} are both of {cards[n]['feature']} by "
                f"{cards[n]['annotator']}; their volumes would have the same name. Combine them (--annotators "
                "combined), or choose one."
            )
    return features


def by_feature(cards: typing.Sequence[typing.Mapping[str, typing.Any]]) -> tuple[CombinedFeature, ...]:
    """A CombinedFeature for each feature of some cards, of all models that have it."""
    return tuple(
        CombinedFeature(
            name,
            tuple(numbers),
            tuple(cards[n]["annotator"] for n in numbers),
            tuple(cards[n]["threshold"] for n in numbers),
            _mean_rule([cards[n] for n in numbers]),
        )
        for name, numbers in lists_by_key((card["feature"], number) for number, card in enumerate(cards)).items()
    )


def _mean_rule(cards: typing.Sequence[typing.Mapping[str, typing.Any]]) -> tuple[float, float, float] | None:
    """The mean rule of the cards; None if one has none, as models that learned from labels have."""
    rules = [card["boundary_rule"] for card in cards if "boundary_rule" in card]
    if len(rules) < len(cards):
        return None
    level, least, most = np.mean(rules, axis=0)
    return float(level), float(least), float(most)


def _check(
    cards: typing.Sequence[typing.Mapping[str, typing.Any]], folders: typing.Sequence[str | os.PathLike[str]]
) -> None:
    for n, card in enumerate(cards):
        twin = next((m for m in range(n) if cards[m]["weights_sha256"] == card["weights_sha256"]), None)
        if twin is not None:
            raise ValueError(f"The models {folders[twin]} and {folders[n]} (--model) are the same.")
        for word in (card["feature"], card["annotator"]):
            if not word or any(bad in word for bad in ("/", "\\", "__", "@")):
                raise ValueError(
                    f"The model {folders[n]} names {word!r}; names of features and annotators stand in "
                    "file names and may not be empty or hold '/', '\\', '__' or '@'. Correct its "
                    "card.json."
                )


def combined_scores(scores: torch.Tensor) -> torch.Tensor:
    """(...) scores of several models as one: the mean of their log odds. scores: (models, ...)."""
    return scores[0] if len(scores) == 1 else torch.logit(scores, MINIMUM).mean(dim=0).sigmoid_()


@dataclasses.dataclass
class Agreement(Summed):
    """How well the models of a feature agree, summed up slice by slice. both: (k, k) voxels that each pair puts above
    its thresholds; the diagonal holds those of each model."""

    both: np.ndarray

    @classmethod
    def none(cls, models: int) -> "Agreement":
        """Of a number of models, before anything was seen."""
        return cls(np.zeros((models, models)))

    def add(self, scores: torch.Tensor, thresholds: typing.Sequence[float]) -> None:
        """scores: (k, y, x) float32 tensor. thresholds: k numbers."""
        above = (scores.flatten(1) >= torch.tensor(thresholds)[:, None]).float()  # exact counts up to 16 million px
        self.both = self.both + (above @ above.T).double().numpy()

    def metrics(self, annotators: typing.Sequence[str]) -> dict[str, typing.Any]:
        """For results: annotators, and dice (k x k lists; None where there is nothing to compare)."""
        with np.errstate(invalid="ignore", divide="ignore"):
            own = np.diag(self.both)
            dice = 2 * self.both / (own[:, None] + own[None])
        return dict(
            annotators=list(annotators),
            dice=[[round(float(v), 6) if np.isfinite(v) else None for v in row] for row in dice],
        )

    def to_dict(self) -> dict[str, typing.Any]:
        """Plain numbers for a JSON file."""
        return dict(both=self.both.tolist())

    @classmethod
    def from_dict(cls, data: typing.Mapping[str, typing.Any]) -> "Agreement":
        """The Agreement that segment.json has."""
        return cls(np.array(data["both"]))
