# SPDX-License-Identifier: GPL-3.0-or-later
"""Mutations of a valid file: of its bytes, of the numbers in its header, of the words in its text."""

import gzip
import re
import struct

import numpy as np

TEXTS = ("star", "particles", "subtomograms", "box", "topaz", "list", "pdb", "cif", "card", "request", "annotations")
_INTEGERS = (0, 1, -1, 2, 4, 101, 65535, 1 << 20, (1 << 31) - 1, -(1 << 31))
_FLOATS = (float("nan"), float("inf"), -1.0, 0.0, 1e-30, 1e30, 20.0)
_WORDS = (
    b"nan",
    b"NaN",
    b"Infinity",
    b"-1",
    b"0",
    b"1e308",
    b"1e999",
    b"99999999999999999999",
    b"",
    b"null",
    b"true",
    b"[]",
    b"{}",
    b'"x"',
    b"../../x",
    b"/",
    b"\xff\xfe",
    b"\x00",
    b"loop_",
    b"data_",
    b"_rlnCoordinateX",
    b"#",
    b"'",
    b'"',
    b"000000@x",
    b"\xc3\xa9",
)


def mutated(whole: bytes, kind: str, seed: int) -> bytes:
    """The bytes of a file after one to four mutations; the same for the same seed."""
    rng = np.random.default_rng(seed)
    if kind.endswith("_gz") and rng.random() < 0.7:  # what is inside, else what is around it
        return gzip.compress(mutated(gzip.decompress(whole), kind[:-3], seed + 1), 1)
    for _ in range(rng.integers(1, 5)):
        choices = [_flip, _cut, _remove, _repeat, _insert]
        choices += [_word] * 6 if kind in TEXTS else [_header] * 6
        whole = choices[rng.integers(len(choices))](whole, rng)
    return whole


def _position(whole, rng):
    return int(rng.integers(max(1, len(whole))))


def _flip(whole, rng):
    values = bytearray(whole)
    for _ in range(int(rng.integers(1, 9)) if values else 0):
        values[_position(whole, rng)] = int(rng.integers(256))
    return bytes(values)


def _cut(whole, rng):
    return whole[: _position(whole, rng)]


def _remove(whole, rng):
    start = _position(whole, rng)
    return whole[:start] + whole[start + int(rng.integers(1, 64)) :]


def _repeat(whole, rng):
    start = _position(whole, rng)
    part = whole[start : start + int(rng.integers(1, 512))]
    return whole[:start] + part * int(rng.integers(2, 20)) + whole[start:]


def _insert(whole, rng):
    start = _position(whole, rng)
    return whole[:start] + rng.bytes(int(rng.integers(1, 64))) + whole[start:]


def _header(whole, rng):
    """An extreme number in one of the first words, where the sizes, offsets and pointers are."""
    start = 4 * int(rng.integers(64)) + (2 if rng.random() < 0.2 else 0)
    if rng.random() < 0.7:
        value = struct.pack("<i", _INTEGERS[rng.integers(len(_INTEGERS))])
    else:
        value = struct.pack("<f", _FLOATS[rng.integers(len(_FLOATS))])
    return whole[:start] + value + whole[start + 4 :]


def _word(whole, rng):
    """Another word in place of one."""
    words = list(re.finditer(rb"[^\s,:\[\]{}]+", whole))
    if not words:
        return whole
    word = words[rng.integers(len(words))]
    return whole[: word.start()] + _WORDS[rng.integers(len(_WORDS))] + whole[word.end() :]
