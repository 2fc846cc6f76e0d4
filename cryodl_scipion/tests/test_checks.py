# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of sets of micrographs that cannot be made by importing files, and sentences of summaries."""

import unittest
from unittest import mock

from ..convert.micrographs.picks import boxSizeFor
from ..engine.cryodl import contract
from ..protocols.checks import checkMicrographs, listed, modelWarnings
from ..protocols.protocol_base import deviceLines, skippedItems, skippedLines


def micrographs(*names, pixelSize=1.5, streaming=False):
    items = [mock.Mock(getMicName=lambda n=n: n) for n in names]
    result = mock.MagicMock(
        getSize=lambda: len(items), getSamplingRate=lambda: pixelSize, isStreamOpen=lambda: streaming
    )
    result.__iter__.side_effect = lambda: iter(items)
    return result


def result(counts=(), skipped=(), device="CPU"):
    return contract.Result(
        "pick",
        contract.outputs_of(contract.COMMANDS["pick"].outputs, dict(counts=dict.fromkeys(counts, 1)), old=True),
        device=device,
        skipped=tuple(contract.Skipped(n, n + ".mrc", "no end") for n in skipped),
    )


class TestCryodlChecks(unittest.TestCase):
    def test_good_and_still_empty_streams_are_accepted(self):
        self.assertEqual(checkMicrographs(micrographs("a.mrc", "b.mrc")), [])
        self.assertEqual(checkMicrographs(micrographs(streaming=True)), [])

    def test_empty_sets_missing_pixel_sizes_and_repeated_names_are_named(self):
        self.assertIn("is empty", checkMicrographs(micrographs())[0])
        for pixelSize in (None, 0, -1):
            self.assertIn("no pixel size", checkMicrographs(micrographs("a.mrc", pixelSize=pixelSize))[0])
        self.assertIn("same name: a.mrc.", checkMicrographs(micrographs("a.mrc", "b.mrc", "a.mrc"))[0])

    def test_long_lists_are_cut(self):
        self.assertEqual(listed(list("ab")), "a, b")
        self.assertEqual(listed(list("abcdefg")), "a, b, c, d, e and 2 more")

    def test_pixel_sizes_and_diameters_far_from_the_models(self):
        card = dict(pixel_sizes=[1.0, 2.0], particle_diameter=200)
        self.assertEqual(modelWarnings(card, 3.9, 150), [])
        self.assertEqual(modelWarnings(dict(card, pixel_sizes=[]), 3.9, 150), [])
        self.assertIn("5 Å/px; the model learned from 1, 2 Å/px", modelWarnings(card, 5, 150)[0])
        self.assertIn("500 Å is far from the model's 200 Å", modelWarnings(card, 2, 500)[0])

    def test_boxes_are_even(self):
        self.assertEqual([boxSizeFor(d, p) for d, p in ((100, 1), (101, 1), (180, 3.54), (1, 10))], [150, 152, 76, 2])


class TestCryodlSummaries(unittest.TestCase):
    def test_the_last_word_on_a_micrograph_counts(self):
        results = [result(skipped=["a", "b"]), result(counts=["a"], skipped=["b", "c"])]
        self.assertEqual([item.item for item in skippedItems(results)], ["b", "c"])

    def test_a_thousand_skipped_micrographs_do_not_fill_the_summary(self):
        lines = skippedLines([result(skipped=[f"m{i}" for i in range(1000)])])
        self.assertEqual((len(lines), lines[0]), (12, "*1000 skipped:*"))
        self.assertIn("990 more", lines[-1])
        self.assertEqual(skippedLines([result(counts=["a"])]), [])

    def test_all_devices_are_named_once(self):
        self.assertEqual(
            deviceLines(
                [
                    result(device="GPU 0"),
                    result(device="CPU"),
                    result(device="GPU 0"),
                    result(device="none: no network was run"),
                ]
            ),
            ["Computed on: CPU, GPU 0"],
        )
        self.assertEqual(deviceLines([]), [])
