# SPDX-License-Identifier: GPL-3.0-or-later
"""card.json, the description of a model in its folder. It is read and checked here for both forms and engine."""

import hashlib
import json
import os
import typing

from .networks import (
    CLASSIFIER_NETWORKS,
    DENOISER_NETWORKS,
    DETECTOR_NETWORKS,
    FILAMENT_NETWORKS,
    IMPROVER_NETWORKS,
    PICKER_NETWORKS,
    SEGMENTER_NETWORKS,
    TOMOGRAM_DENOISER_NETWORKS,
)
from .reading import reader

FORMAT_VERSION = 2  # 2: unet sees every micrograph at the same contrast
CARD, WEIGHTS = "card.json", "weights.safetensors"
MICROGRAPH_DENOISER = "micrograph_denoiser"  # kind of model
_NUMBER = (int, float)
_EVERY: typing.Dict[str, typing.Any] = {"kind": str, "name": str, "network": str, "weights_sha256": str}
# Further entries of each kind's card, and the networks that this version knows.
_KINDS: typing.Dict[str, typing.Tuple[typing.Dict[str, typing.Any], typing.Tuple[str, ...]]] = {
    "picker": (
        {"particle_diameter": _NUMBER, "pixel_sizes": list, "threshold": _NUMBER, "minimum_distance": _NUMBER},
        PICKER_NETWORKS,
    ),
    "denoiser": (
        {
            "particle_diameter": _NUMBER,
            "pixel_size": _NUMBER,
            "box": int,
            "structures": list,
            "scales": list,
            "ctf": str,
            "training_particles": list,
        },
        DENOISER_NETWORKS,
    ),
    MICROGRAPH_DENOISER: ({"method": str, "resolution": _NUMBER, "validation": dict}, ("unet",)),
    "segmenter": (
        {"feature": str, "annotator": str, "pixel_size": _NUMBER, "threshold": _NUMBER, "validation": dict},
        SEGMENTER_NETWORKS,
    ),
    "map_improver": (
        {"working_pixel_size": _NUMBER, "resolutions": list, "validation": dict, "training": dict},
        IMPROVER_NETWORKS,
    ),
    "classifier": (
        {"classes": list, "pixel_size": _NUMBER, "box": int, "particle_diameter": _NUMBER, "validation": dict},
        CLASSIFIER_NETWORKS,
    ),
    "filament_picker": ({"threshold": _NUMBER, "diameters": list, "validation": dict}, FILAMENT_NETWORKS),
    "detector": (
        {
            "species": list,
            "pixel_size": _NUMBER,
            "diameters": list,
            "thresholds": list,
            "beta": _NUMBER,
            "validation": dict,
        },
        DETECTOR_NETWORKS,
    ),
    "tomogram_denoiser": (
        {"pixel_size": _NUMBER, "fills_wedge": bool, "gain": list, "validation": dict, "training": dict},
        TOMOGRAM_DENOISER_NETWORKS,
    ),
    "class_ranker": ({"side": int, "temperature": _NUMBER, "validation": dict}, ("cnn",)),
}
# Least and largest value of entries that are numbers, or lists of them, where a card has them (Å, px, scores).
_RANGES = {
    **dict.fromkeys(("particle_diameter", "diameters", "resolution", "resolutions", "mean_resolution"), (0.5, 1e5)),
    **dict.fromkeys(("pixel_size", "pixel_sizes", "working_pixel_size", "trained_pixel_sizes"), (0.01, 1e3)),
    **dict.fromkeys(("threshold", "thresholds", "threshold_uncertainty", "boundary_probability"), (0.0, 1.0)),
    "box": (2, 1e5),
    "side": (2, 1e5),
    "minimum_distance": (0.0, 1e3),
    **dict.fromkeys(("temperature", "raw_scale"), (1e-6, 1e6)),
    **dict.fromkeys(("calibration", "narrow", "gain", "gains"), (-1e6, 1e6)),
    "boundary_rule": (-5.0, 5.0),
    "picking_scales": (0.25, 4.0),
}
_LISTS = {"calibration": (2, 2), "narrow": (3, 3), "gains": (2, 2), "picking_scales": (1, 9)}  # at least and at most
_WORDS = {"contrast": ("dark", "bright")}
# Of a picker's validation, what its labels can tell; other labels tell all. F1 is too high of a network's own picks and
# of boxes alone, too low of sparse labels.
LABELS_TELL: typing.Dict[str, typing.Tuple[str, ...]] = {"own picks": (), "boxes": (), "sparse": ("recall",)}
_FROM_SOURCE = "Get the model from its source again."


def denoises_blindly(card: typing.Mapping[str, typing.Any]) -> bool:
    """Whether a model learnt from simulated micrographs of every kind, and so needs no training on the user's images.
    card: of a micrograph denoiser. Such a model sees images with all of their dose at once."""
    return bool(card["method"] == "simulated")


@reader
def read_card(
    folder: typing.Union[str, "os.PathLike[str]"], kind: typing.Optional[str] = None
) -> typing.Dict[str, typing.Any]:
    """The card of a model folder, with all entries that its kind needs. kind: expected kind of model, one of _KINDS.
    Raises ValueError if the card is missing or wrong; the message says what to do."""
    folder = str(folder)
    path = os.path.join(folder, CARD)
    if not os.path.isdir(folder):
        raise ValueError(f"There is no model folder {folder}. Choose the folder that holds {CARD} and {WEIGHTS}.")
    if not os.path.isfile(path):
        raise ValueError(
            f"{folder} is not a model of cryodl: it has no {CARD}. "
            + (
                "Its training was not finished; run it again with the same --output to continue."
                if folder.endswith(".partial")
                else f"Choose the folder that holds {CARD} and {WEIGHTS}."
            )
        )
    try:
        with open(path, encoding="utf-8") as file:
            card: typing.Dict[str, typing.Any] = json.load(file, parse_constant=refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: it is not valid JSON ({error}). {_FROM_SOURCE}") from None
    version = card.get("format_version") if isinstance(card, dict) else None
    if version != FORMAT_VERSION:
        raise ValueError(
            f"{path} has format version {version}; this version of cryodl reads {FORMAT_VERSION}. Train "
            "the model again, or use the version of cryodl that made it (its card says which)."
        )
    if kind and isinstance(card.get("kind"), str) and card["kind"] != kind:
        raise ValueError(
            f"{folder} is a model of kind {_kind_in_words(card['kind'])!r}; a {_kind_in_words(kind)} is needed here. "
            "Choose another model."
        )
    entries, networks = _KINDS.get(str(card.get("kind")), ({}, ()))
    fault = next(_faults(card, dict(_EVERY, **entries)), None)
    if fault is not None:
        raise ValueError(f"{path} is damaged: {fault}. {_FROM_SOURCE}")
    if networks and card["network"] not in networks:
        raise ValueError(
            f"{path} names the network {card['network']!r}; this version of cryodl knows: "
            f"{', '.join(networks)}. Use the version of cryodl that made it (its card says which)."
        )
    return card


def _faults(card: typing.Mapping[str, typing.Any], wanted: typing.Mapping[str, typing.Any]) -> typing.Iterator[str]:
    """What is wrong with the entries of a card; whoever reads on after the first may find that one is not there.
    wanted: {entry: its type} of those that it must have."""
    if wrong := [
        key
        for key, kind in wanted.items()
        if not isinstance(card.get(key), kind) or isinstance(card.get(key), bool) is not (kind is bool)
    ]:
        yield f"{', '.join(wrong)} missing or of the wrong type"
    for key, (least, most) in _RANGES.items():
        values = _listed(card[key]) if card.get(key) is not None else []
        if not all(isinstance(v, _NUMBER) and not isinstance(v, bool) and least <= v <= most for v in values):
            yield f"{key} is {card[key]!r}; it must lie between {least:g} and {most:g}"
    yield from (
        f"{key} is {card[key]!r}; it must be a list of {least if least == most else f'{least} to {most}'} numbers"
        for key, (least, most) in _LISTS.items()
        if card.get(key) is not None and not (isinstance(card[key], list) and least <= len(card[key]) <= most)
    )
    for key, words in _WORDS.items():
        if card.get(key) is not None and card[key] not in words:
            yield f"{key} is {card[key]!r}; it must be {' or '.join(words)}"
    yield from (f"{key} is empty" for key in ("classes", "structures", "species") if key in wanted and not card[key])
    for name in (n for key in ("classes", "species", "feature") if key in wanted for n in _listed(card[key])):
        if not isinstance(name, str) or not name.isprintable() or "/" in name or name in ("", ".", ".."):
            yield f"{name!r} cannot be a name"


def _listed(value: typing.Any) -> typing.Any:
    return value if isinstance(value, list) else [value]


def _kind_in_words(kind: str) -> str:
    return "particle denoiser" if kind == "denoiser" else kind.replace("_", " ")


def refuse_constant(word: str) -> typing.NoReturn:
    """Raise ValueError for NaN and Infinity, which Python's JSON reads as numbers. word: either."""
    raise ValueError(f"{word} where a number was expected")


def shipped_folders(models: str, kind: typing.Optional[str] = None) -> typing.Dict[str, str]:
    """The models in the package's folder `models`, in alphabetical order. A folder has the name of its model, or
    KIND_NAME if models of several kinds share a name. If no kind is given, the folder with exactly that name is used.
    models: the package's folder. kind: kind of the wanted models. Returns {name: folder}."""
    found: typing.Dict[str, str] = {}
    for entry in sorted(os.listdir(models)) if os.path.isdir(models) else ():
        folder = os.path.join(models, entry)
        if not os.path.isfile(os.path.join(folder, CARD)):
            continue
        own = read_card(folder)["kind"] if kind or "_" in entry else None
        if kind in (None, own):
            prefix = f"{own}_"
            found.setdefault(entry[len(prefix) :] if entry.startswith(prefix) else entry, folder)
    return found


def check_model(
    folder: typing.Union[str, "os.PathLike[str]"], kind: typing.Optional[str] = None
) -> typing.Dict[str, typing.Any]:
    """The card of a model folder, after a check that it is complete and undamaged. kind: expected kind of model. Raises
    ValueError: as read_card, and if the weights are missing or damaged."""
    card, path = read_card(folder, kind), os.path.join(str(folder), WEIGHTS)
    if not os.path.isfile(path):
        raise ValueError(f"The model {folder} is incomplete: it has no {WEIGHTS}. Copy the whole folder.")
    if sha256(path) != card["weights_sha256"]:
        raise ValueError(f"{path} is damaged: its checksum is not the one in {CARD}. {_FROM_SOURCE}")
    return card


def sha256(path: typing.Union[str, "os.PathLike[str]"]) -> str:
    """Checksum of a file. Hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()
