# SPDX-License-Identifier: GPL-3.0-or-later
"""Comparison and consensus of sets of coordinates, from the form to the result, with the real engine."""

import os
import unittest
from unittest import mock

from pwem import Domain
from pwem.objects import Coordinate, SetOfCoordinates
from pyworkflow.object import Set

from ... import Plugin
from ...convert.arriving import reopened
from ...convert.micrographs.picks import readPicks
from ...protocols import CryodlProtCompare, CryodlProtConsensus
from ...viewers.micrographs.viewer_compare import consensusOf
from .. import synthetic
from ..base import picksOf
from ..pick_sets import A, B, PickSetsTest
from ..streams import stopRun, waitFor


def missing():
    """Why the engine cannot run here, '' if it can."""
    Domain.getPlugins()  # only now do plugins know their homes
    return " ".join(Plugin.validateInstallation())


@unittest.skipIf(missing(), missing())
class TestCryodlCompare(PickSetsTest):
    _REAL_ENGINE = True

    def compare(self, *sources, **values):
        return self.make(CryodlProtCompare, sources, **dict(dict(particleDiameter=60), **values))

    def test_sets_of_other_imports_agree_where_their_picks_do(self):
        protocol = self.run_(self.compare(self.a, self.b))
        comparison = protocol.comparison()
        self.assertEqual((comparison["micrographs"], list(comparison["counts"].values())), (3, [9, 9]))
        self.assertAlmostEqual(comparison["agreement"][0][1], 2 / 3)
        self.assertEqual(comparison["metrics"], {})
        self.assertIn("Agreement (F1)", "\n".join(protocol.summary()))
        self.assertIn("with each other on 3 micrographs", protocol._methods()[0])

    def test_binned_micrographs_and_fewer_of_them(self):
        protocol = self.compare(self.a, self.c)
        self.assertRegex(
            " ".join(protocol._warnings()),
            r"Micrographs of .* that are not in all sets, and are left out \(1\): mic_003.mrc",
        )
        comparison = self.run_(protocol).comparison()
        self.assertEqual((comparison["micrographs"], list(comparison["counts"].values())), (2, [6, 1]))
        self.assertAlmostEqual(comparison["agreement"][0][1], 2 / 7)

    def test_figures_against_a_reference_on_the_micrographs_that_it_has_particles_on(self):
        reference = self.makeCoordinates(self.imported, {2: A})
        protocol = self.compare(self.b, self.a, pointers=dict(referenceCoordinates=(reference, "outputCoordinates")))
        comparison = self.run_(protocol).comparison()
        metrics = [comparison["metrics"][name] for name in comparison["sets"]]
        self.assertEqual(comparison["micrographs"], 1)
        self.assertEqual([round(f["f1"], 3) for f in metrics], [0.667, 1.0])
        self.assertGreater(os.path.getsize(protocol.curvesFile()), 5000)
        self.assertRegex("\n".join(protocol.summary()), r"precision 0.667, recall 0.667")

    def test_picks_near_the_edge_are_left_out(self):
        edge = self.makeCoordinates(self.imported, {1: A + [(5, 5)], 2: A, 3: A})
        protocol = self.run_(self.compare(edge, self.b, border=20))
        self.assertEqual(list(protocol.comparison()["counts"].values()), [9, 9])

    def test_one_set_alone_needs_a_reference(self):
        self.assertRegex(" ".join(self.compare(self.a).validate()), r"has 1; at least 2 are needed")
        self.assertEqual(
            self.compare(self.a, pointers=dict(referenceCoordinates=(self.b, "outputCoordinates"))).validate(), []
        )

    def test_sets_that_cannot_be_compared_are_named(self):
        def errors(*sources, **values):
            return " ".join(self.compare(*sources, **values).validate())

        empty = self.makeCoordinates(self.imported, {})
        self.assertIn("is empty", errors(self.a, empty))
        self.assertIn("are the same set", errors(self.a, self.a))
        self.assertIn("Particle diameter is empty", errors(self.a, self.b, particleDiameter=None))
        synthetic.writeMicrograph(self.data + "/strange_1.mrc", 1)
        strange = self.importMicrographs(self.data, "strange_*.mrc")
        self.assertIn("No micrograph is common to all sets", errors(self.a, self.makeCoordinates(strange, {1: A})))
        scaled = self.importMicrographs(self.data + "/mics", pixelSize=2 * synthetic.PIXEL_SIZE)
        self.assertIn("cover 960 x 768 Å", errors(self.a, self.makeCoordinates(scaled, {1: A})))

    def test_micrographs_with_one_name_are_named(self):
        folders = [os.path.join(self.data, "mics"), os.path.join(self.data, "other")]
        both = self.importMicrographs(folders[0])
        micrographs = both.outputMicrographs
        micrographs.enableAppend()
        again = micrographs.getFirstItem().clone()
        again.setObjId(99)
        micrographs.append(again)
        micrographs.write()
        twice = self.makeCoordinates(both, {1: A})
        self.assertRegex(" ".join(self.compare(self.a, twice).validate()), r"have the same name: mic_001.mrc")


@unittest.skipIf(missing(), missing())
class TestCryodlConsensus(PickSetsTest):
    _REAL_ENGINE = True

    def consensus(self, *sources, **values):
        return self.make(CryodlProtConsensus, sources, **dict(dict(particleDiameter=60), **values))

    def test_particles_of_at_least_two_sets_stay_with_their_number(self):
        protocol = self.run_(self.consensus(self.a, self.b, self.c))
        output = protocol.outputCoordinates
        self.assertEqual(
            {name: len(picks) for name, picks in picksOf(output).items()}, {"mic_001.mrc": 2, "mic_002.mrc": 2}
        )
        self.assertEqual(sorted(c._cryodlPickers.get() for c in output.iterItems() if c.getMicId() == 1), [2, 3])
        self.assertEqual(output.getBoxSize(), 40)
        self.assertEqual(output.getMicrographs().getObjId(), self.imported.outputMicrographs.getObjId())
        for x, y in picksOf(output)["mic_002.mrc"]:
            self.assertTrue(any(abs(x - a) <= 1 and abs(y - b) <= 1 for a, b in A[:2]), (x, y))
        summary = "\n".join(protocol.summary())
        self.assertIn("*4 particles* on 2 micrographs, found by at least 2 of 3 sets", summary)
        self.assertIn("Found by 3 sets: 1", summary)
        # a larger batch of a start that was killed before its output, and one of the next start
        before, now = (
            mock.Mock(**{"outputs.counts": counts, "outputs.groups": {"a + b + c": len(counts)}})
            for counts in ({"mic_001": 2, "mic_002": 2}, {"mic_001": 2})
        )
        told = " ".join(protocol._tell([before, now]))
        self.assertIn("on 1 micrograph, ", told)
        self.assertIn("Found by 3 sets: 1", told)

    def test_another_rule_and_box_when_continued(self):
        protocol = self.run_(self.consensus(self.a, self.b, boxSize=50))
        self.assertEqual(protocol.outputCoordinates.getBoxSize(), 50)
        protocol.rule.set(1)
        protocol.minimumScore.set(0.4)
        self.run_(protocol)
        self.assertEqual(protocol.outputCoordinates.getSize(), 12)  # scores of 1: found by one of two is 0.5
        everything = readPicks(os.path.join(protocol.candidatesFolder(), "mic_001.star"))
        self.assertEqual(len(everything), 4)

    def test_boxes_of_other_sizes_and_too_many_sets_asked_for_are_said(self):
        self.assertRegex(
            " ".join(self.consensus(self.a, self.b)._warnings()), r"different box sizes .*120 Å.*180 Å.*40 px"
        )
        self.assertIn("there are only 2 sets", " ".join(self.consensus(self.a, self.b, minimumSets=3).validate()))
        self.assertIn("at least 2", " ".join(self.consensus(self.a, self.b, boxSize=1).validate()))

    def test_the_window_of_one_by_score_makes_one_by_the_number_of_sets(self):
        run = self.run_(self.consensus(self.a, self.b, rule=1, minimumScore=0.0))
        with mock.patch.object(self.proj, "launchProtocol") as launched:
            self.assertIn("at least 2 sets found", consensusOf(run, 2))
        config = launched.call_args[0][0]._config()
        self.assertEqual((config.rule, config.minimum_sets), ("at-least", 2))


class TestCryodlConsensusOfArrivingPicks(PickSetsTest):
    """The fake engine keeps every second pick of the first set."""

    def grow(self, coordinates, ids, state):
        """Append picks on micrographs of these ids, and open or close the set."""
        growing = reopened(SetOfCoordinates, coordinates)
        micrographs = {m.getObjId(): m.clone() for m in self.imported.outputMicrographs}
        growing.enableAppend()
        for x, y, objId in [(x, y, objId) for objId in ids for x, y in B]:
            item = Coordinate(x=x, y=y)
            item.setMicrograph(micrographs[objId])
            growing.append(item)
        growing.setStreamState(state)
        growing.write()
        growing.close()

    def test_a_micrograph_is_combined_once_when_all_sets_have_it_though_the_run_is_stopped(self):
        late = self.makeCoordinates(self.imported, {1: B})
        self.grow(late.outputCoordinates, [], Set.STREAM_OPEN)
        protocol = self.make(
            CryodlProtConsensus,
            (self.a, late),
            **dict(particleDiameter=60, batchSize=1, batchWait=0, streamingSleepOnWait=1),
        )
        self.assertEqual(protocol.validate(), [])
        self.proj.launchProtocol(protocol, wait=False)
        waitFor(self, protocol, lambda: protocol.hasAttribute("outputCoordinates"))
        self.assertTrue(protocol.outputCoordinates.isStreamOpen())
        self.assertEqual(list(picksOf(protocol.outputCoordinates)), ["mic_001.mrc"])
        stopRun(self.proj, protocol)
        stamp = os.stat(protocol._engineResultFiles()[0]).st_mtime_ns
        self.grow(late.outputCoordinates, [3], Set.STREAM_CLOSED)  # it has no picks on the second
        self.run_(protocol)
        wanted = [A[0], A[2]]
        self.assertEqual(picksOf(protocol.outputCoordinates), {f"mic_{number:03d}.mrc": wanted for number in (1, 2, 3)})
        self.assertFalse(protocol.outputCoordinates.isStreamOpen())
        self.assertEqual(os.stat(protocol._engineResultFiles()[0]).st_mtime_ns, stamp)
        self.assertEqual(len(os.listdir(protocol.candidatesFolder())), 3)
        self.assertIn("on 3 micrographs", " ".join(protocol.summary()))
