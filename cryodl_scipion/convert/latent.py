# SPDX-License-Identifier: GPL-3.0-or-later
"""Latent coordinates of the items of a set, particles or subtomograms, and subsets of them."""

import shutil
import sqlite3
from typing import Any, Sequence

from pwem.objects import EMObject, EMSet
from pyworkflow.object import Float, Integer

# Attributes of items, with an underscore before them.
LATENT, CLUSTER, UMAP = "cryodlLatent%d", "cryodlCluster", "cryodlUmap%d"


def latentColumns(count: int, umap: bool) -> Any:
    """Columns of the engine's STAR file, and the types of their values: coordinates, those of UMAP, cluster."""
    names = [LATENT % number for number in range(1, count + 1)] + [UMAP % number for number in (1, 2) if umap]
    return names + [CLUSTER], (float,) * len(names) + (int,)


def describeLatent(item: EMObject, names: Sequence[str], row: Sequence[Any]) -> Any:
    """Write the values of latentColumns on an item. Returns it."""
    for name, value in zip(names[:-1], row):
        setattr(item, "_" + name, Float(float(value)))
    setattr(item, "_" + CLUSTER, Integer(int(float(row[-1]))))
    return item


def latentOf(items: EMSet) -> Any:
    """Ids, [(coordinates)], clusters and the names of the coordinates of a set that carries them."""
    words = {LATENT % number: str(number) for number in range(1, 21)}
    words.update({UMAP % number: f"UMAP {number}" for number in (1, 2)})
    ids, coordinates, clusters = [], [], []
    for item in items.iterItems():
        if not ids:
            names = [name for name in words if item.hasAttribute("_" + name)]
        ids.append(item.getObjId())
        coordinates.append(tuple(item.getAttributeValue("_" + name) for name in names))
        clusters.append(item.getAttributeValue("_" + CLUSTER))
    return ids, coordinates, clusters, [words[name] for name in names]


def writeSelection(items: EMSet, ids: Any, path: str) -> None:
    """Write a copy of a set's file in which only the items of `ids` are enabled, for pwem's ProtUserSubSet."""
    items.write()
    shutil.copy(items.getFileName(), path)
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("UPDATE Objects SET enabled = 0")
        connection.executemany("UPDATE Objects SET enabled = 1 WHERE id = ?", [(int(number),) for number in ids])
    connection.close()
