# SPDX-License-Identifier: GPL-3.0-or-later
"""Tomograms segmented while they arrive, and by a run that the user stops, with a fake engine."""

from pyworkflow.object import Set

from ..particle_sets import finishedWith
from ..streams import waitFor
from ..tomogram_runs import TomogramsTest
from ..tomogram_sets import setOfTomograms, tomogramAt


class TestCryodlSegmentStreaming(TomogramsTest):
    def stream(self, names):
        """A protocol whose `outputTomograms` is still open."""
        source = finishedWith(self, lambda protocol: dict(outputTomograms=setOfTomograms(protocol, names[:-1])))
        self.arrive(source, names[-1])  # which opens the set again
        return source

    def arrive(self, source, name, last=False):
        tomograms = source.outputTomograms
        tomograms.enableAppend()
        tomograms.append(tomogramAt(source._getExtraPath(name + ".mrc"), name))
        tomograms.setStreamState(Set.STREAM_CLOSED if last else Set.STREAM_OPEN)
        tomograms.write()
        source._store(tomograms)

    def segmented(self, protocol):
        with open(protocol._getExtraPath("scores", "segmented.log")) as file:
            return file.read().split()

    def has(self, protocol, count):
        def found():
            scores = getattr(protocol, "scores_ribosome", None)
            return scores is not None and scores.getSize() >= count

        return found

    def test_arriving_tomograms_are_segmented_once_though_the_run_is_stopped(self):
        source = self.stream(["TS_01", "TS_02"])
        protocol = self.segmentation(source)
        self.assertEqual(protocol.validate(), [])
        self.proj.launchProtocol(protocol, wait=False)
        waitFor(self, protocol, self.has(protocol, 2))
        self.assertTrue(protocol.scores_membrane.isStreamOpen())
        self.arrive(source, "TS_03")
        waitFor(self, protocol, self.has(protocol, 3))
        self.proj.stopProtocol(protocol)
        self.arrive(source, "TS_04", last=True)
        self.launch(protocol)
        self.finished(protocol)
        self.assertEqual(self.segmented(protocol), ["TS_01", "TS_02", "TS_03", "TS_04"])
        for feature in ("membrane", "ribosome"):
            scores = getattr(protocol, "scores_" + feature)
            self.assertEqual([m.getTsId() for m in scores], ["TS_01", "TS_02", "TS_03", "TS_04"])
            self.assertFalse(scores.isStreamOpen())

    def test_a_run_is_not_continued_with_other_models(self):
        protocol = self.finished(self.launch(self.segmentation(models=self.models[:1])))
        protocol.inputModels[0].set(self.models[1])
        protocol.inputModels[0].setExtended("outputModel")
        self.assertIn(
            "This run has already segmented tomograms with another model; continuing would mix the settings",
            " ".join(protocol.validate()),
        )
