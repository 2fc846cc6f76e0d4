# SPDX-License-Identifier: GPL-3.0-or-later
"""The registry of networks. Forms, command line, model cards, methods and citations are made from it.

A new network is one file in its folder. NETWORKS of that file holds a row (kind, place, name, class, words, citations),
which is read here without running the file, since that needs torch. The place is the one in forms, 0 the default; saved
workflows store it, so that a new network takes the next one."""

import ast
import re
import typing
from pathlib import Path


class Network(typing.NamedTuple):
    """A network, or a method without one, of a model. kind: kind of the model. name: its name on the command line and
    in card.json. module, method: file below `cryodl` and the class in it. words: its description in the methods text.
    citations: keys of the bibliography."""

    kind: str
    name: str
    module: str
    method: str
    words: str
    citations: typing.Tuple[str, ...]


_FOLDERS = (
    "maps/improvers",
    "micrographs/filaments",
    "micrographs/pickers",
    "particles/denoisers",
    "tomograms/classifiers",
    "tomograms/denoisers",
    "tomograms/detectors",
    "tomograms/segmenters",
)
_ROWS = re.compile(r"^NETWORKS = (\(.*\)|\((?:\n .*)*\n\))$", re.MULTILINE)


def _found() -> typing.Iterator[typing.Tuple[int, Network]]:
    engine = Path(__file__).resolve().parent.parent
    for folder in _FOLDERS:
        for path in engine.joinpath(folder).glob("*.py"):
            rows, module = _ROWS.search(path.read_text(encoding="utf-8")), ".".join((*folder.split("/"), path.stem))
            for kind, place, name, method, words, citations in ast.literal_eval(rows[1]) if rows else ():
                yield place, Network(kind, name, module, method, words, citations)


NETWORKS: typing.Tuple[Network, ...] = tuple(
    network for _, network in sorted(_found(), key=lambda row: (row[1].kind, row[0], row[1].name))
)


def network_names(kind: str) -> typing.Tuple[str, ...]:
    """Names of all networks of a kind of model, the default first."""
    return tuple(network.name for network in NETWORKS if network.kind == kind)


def network_row(kind: str, name: str) -> Network:
    """The row of a network. Raises ValueError if it is not known; the message lists the names of its kind."""
    for network in NETWORKS:
        if (network.kind, network.name) == (kind, name):
            return network
    raise ValueError(f"Network {name!r} is unknown; choose one of: {', '.join(network_names(kind))}.")


def network_words(kind: str, name: typing.Optional[str]) -> str:
    """Description of a network for the methods text; its name if this version does not know it."""
    return network_row(kind, name).words if name in network_names(kind) else f"the network {name}"


AS_STARTED = "auto"  # network of a training: that of the model to start from


def network_citations(kind: str, name: typing.Optional[str]) -> typing.Tuple[str, ...]:
    """Keys of the bibliography of a network; empty for None and for an unknown one. AS_STARTED has
    those of the first: it stands for networks that share them."""
    name = network_names(kind)[0] if name == AS_STARTED else name
    return network_row(kind, name).citations if name in network_names(kind) else ()


PICKER_NETWORKS = network_names("picker")
DENOISER_NETWORKS = network_names("denoiser")
SEGMENTER_NETWORKS = network_names("segmenter")
CLASSIFIER_NETWORKS = network_names("classifier")
DETECTOR_NETWORKS = network_names("detector")
IMPROVER_NETWORKS = network_names("map_improver")
FILAMENT_NETWORKS = network_names("filament_picker")
TOMOGRAM_DENOISER_NETWORKS = network_names("tomogram_denoiser")
