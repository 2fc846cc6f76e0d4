# SPDX-License-Identifier: GPL-3.0-or-later
"""Folders of annotations: copied with what they know of their tomograms' places."""

from ...engine.cryodl.tomograms.annotations.joining import add_annotations
from ...engine.cryodl.tomograms.annotations.store import open_annotations, read_annotations


def addAnnotations(source, target, moved=None):
    """Add the annotations of a folder to those of another one, which may not exist yet.

    moved: {name: path} of tomograms that are not where they were.
    """
    store = open_annotations(target)
    add_annotations(store, read_annotations(source, moved))
    store.save()
