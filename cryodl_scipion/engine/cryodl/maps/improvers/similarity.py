# SPDX-License-Identifier: GPL-3.0-or-later
"""Families of similar molecules, which must not be split between training and validation."""

import typing

import numpy as np

from ..measures.atoms import read_structure

WORD = 6  # residues
# Part of the shorter chain's words that the other has. Of sequences that differ at random it is the identity to the
# power of WORD: 0.15 is 73 % identical, 60 % gives 0.05, unrelated chains have less than 0.02.
ALIKE = 0.15


def words_of(path: str) -> dict[str, set[str]]:
    """{chain: set of words of WORD residues} of an atomic model's protein and nucleic acid chains."""
    import gemmi

    chains = {}
    for chain in read_structure(path)[0]:
        sequence = gemmi.one_letter_code([residue.name for residue in chain.get_polymer()])
        words = {sequence[k : k + WORD] for k in range(len(sequence) - WORD + 1)}
        if words:
            chains[chain.name] = words
    return chains


def share_a_chain(first: typing.Mapping[str, set[str]], second: typing.Mapping[str, set[str]]) -> bool:
    """Whether two molecules, as words_of gives them, share a chain."""
    return any(len(a & b) > ALIKE * min(len(a), len(b)) for a in first.values() for b in second.values())


def families(paths: typing.Sequence[str]) -> dict[str, int]:
    """{path: number}: molecules of one number are linked by shared chains."""
    from scipy.sparse.csgraph import connected_components

    words = [words_of(path) for path in paths]
    linked = np.zeros((len(paths),) * 2, bool)
    for a in range(len(paths)):
        for b in range(a):
            linked[a, b] = share_a_chain(words[a], words[b])
    return dict(zip(paths, (int(n) for n in connected_components(linked, directed=False)[1])))
