# SPDX-License-Identifier: GPL-3.0-or-later
"""Particles that arrive while they are classified in 2-D: the first make the classes, the others are assigned; none is
lost, none is there twice, also after kills; with a fake engine."""

import contextlib
import os
import sqlite3
from unittest import mock

from pwem.objects import SetOfClasses2D

from ...convert.arriving import STOPPED, StreamEnd
from ...convert.particles.particles import ArrivingParticles, idsInStar
from ...protocols import CryodlProtClassify2D, CryodlProtSelectClasses
from ...protocols.particles import protocol_classify_2d
from ..particle_sets import COUNT, ParticlesTest
from ..streams import stopRun, waitFor
from .test_particle_streams import growingParticles

FIRST = 6  # particles that are there when the runs start; the fake engine cannot use the last
_LIMIT = dict(firstParticles=FIRST, smallestBatch=3, batchWait=1, streamingSleepOnWait=1, useGpu=False)


def members(classes):
    """Sorted ids of all members of the classes, and {class: their ids}."""
    found = {made.getObjId(): [item.getObjId() for item in made] for made in classes.iterItems()}
    return sorted(i for ids in found.values() for i in ids), found


class TestCryodlClassStreams(ParticlesTest):
    def start(self, source, **values):
        return self.makeProtocol(
            CryodlProtClassify2D, dict(inputParticles=(source, "outputParticles")), **dict(_LIMIT, classes=3, **values)
        )

    def launch(self, run):
        self.proj.launchProtocol(run, wait=False)

    def end(self, run, close):
        close()
        waitFor(self, run, lambda: not run.isActive())
        self.assertTrue(run.isFinished(), run.getErrorMessage())
        for output in (run.outputClasses, run.outputAverages):
            self.assertFalse(output.isStreamOpen())

    def test_the_first_particles_are_classified_and_the_others_assigned_through_a_stop(self):
        source, more, close = growingParticles(self, "stream2d", FIRST)
        run = self.start(source, classifyAgain=False)
        self.launch(run)
        waitFor(self, run, lambda: run.hasAttribute("outputAverages"))
        classes = run.outputClasses
        self.assertTrue(classes.isStreamOpen() and run.outputAverages.isStreamOpen())
        self.assertEqual(members(classes)[0], [10, 12, 14, 16, 18])  # row 5 cannot be used
        stopRun(self.proj, run)
        more()
        os.environ["FAKE_ENGINE_DIE_ONCE"] = "after"  # the engine of the batch dies before it has told its result
        try:
            self.launch(run)
            waitFor(self, run, run.isFailed)
        finally:
            del os.environ["FAKE_ENGINE_DIE_ONCE"]
        self.launch(run)
        waitFor(self, run, lambda: self.sizeOf(run) == COUNT - 2)
        self.end(run, close)
        ids, found = members(run.outputClasses)
        raw = [item.getObjId() for item in self.raw.outputParticles]
        self.assertEqual(ids, raw[:5] + raw[6:11])  # row 5 of each batch cannot be used
        self.assertEqual(found[1], [raw[n] for n in (0, 3, 6, 9)])
        averages = {a.getObjId(): a.getAttributeValue("_cryodlParticles") for a in run.outputAverages}
        self.assertEqual(averages, {k: len(v) for k, v in found.items()})
        self.assertIn("5 of them were classified, 5 assigned to their classes.", "\n".join(run.summary()))
        representative = run.outputClasses[1].getRepresentative()
        self.assertEqual(os.path.basename(os.path.dirname(representative.getFileName())), "newest")
        self.assertTrue(run.outputClasses[1].hasAlignment2D())
        self.select(run, ids)
        self.assertEqual(run.validate() + run.warnings(), [])
        with contextlib.closing(sqlite3.connect(source.outputParticles.getFileName())) as file, file:
            file.execute("UPDATE Objects SET enabled = 0 WHERE id = 10")
            file.commit()
            self.assertIn("1 item unticked in Scipion's table since this run began", " ".join(run.warnings()))
            file.execute("UPDATE Objects SET enabled = 1")
            file.execute("UPDATE Objects SET creation = '2001-01-01 00:00:00'")  # the set is made again
            file.commit()
            self.assertEqual(run.validate(), [])
            file.execute("UPDATE Objects SET creation = '2002-01-01 00:00:00', comment = 'another'")
        self.assertIn("another content of Input particles", " ".join(run.validate()))

    def test_an_input_run_that_dies_while_the_first_are_classified_is_waited_for(self):
        source, _, close = growingParticles(self, "dying2d", FIRST)
        run = self.start(source)
        run._arrivingParticles().update()  # by the step that waits for the first particles
        self.assertFalse(run._arrivingParticles().closed)
        close()  # as pyworkflow does with the outputs of a run that died
        with mock.patch("cryodl_scipion.convert.arriving.stateOfRun", return_value=STOPPED):
            run._arrivingParticles().update()  # by the step that assigns the others
            self.assertFalse(run._arrivingParticles().closed)
            begun = ArrivingParticles(run.inputParticles.get())  # a run that is started now takes what is there
            begun.update()
            self.assertTrue(begun.closed)

    def sizeOf(self, run):
        classes = SetOfClasses2D(filename=run.outputClasses.getFileName())
        size = len(members(classes)[0])
        classes.close()
        return size

    def select(self, run, ids):
        selected = self.runProtocol(
            CryodlProtSelectClasses, dict(inputClasses=(run, "outputClasses")), threshold=0.0, goodLost=0.0
        )
        self.assertEqual([item.getObjId() for item in self.finished(selected).outputParticles], ids)

    def test_at_the_end_all_are_classified_again(self):
        source, more, close = growingParticles(self, "again2d", FIRST)
        run = self.start(source)
        self.launch(run)
        waitFor(self, run, lambda: run.hasAttribute("outputAverages"))
        more()
        waitFor(self, run, lambda: self.sizeOf(run) == COUNT - 2)
        self.end(run, close)
        raw = [item.getObjId() for item in self.raw.outputParticles]
        ids, found = members(run.outputClasses)
        self.assertEqual(ids, raw[:5] + raw[6:])  # row 5 of all
        self.assertEqual(found[1], [raw[n] for n in (0, 3, 6, 9)])
        self.assertEqual(sorted(a.getObjId() for a in run.outputAverages), sorted(found))
        self.assertIn("all were classified again at the end", "\n".join(run.summary()))
        self.select(run, ids)

    def test_a_set_that_is_closed_before_enough_are_there_is_classified_at_once(self):
        source, more, close = growingParticles(self, "few2d", FIRST)
        run = self.start(source)
        run.firstParticles.set(100)
        self.launch(run)
        waitFor(self, run, lambda: "6 of the 100 first particles have arrived; waiting for more." in self.logOf(run))
        more()
        self.end(run, close)
        self.assertEqual(len(members(run.outputClasses)[0]), COUNT - 1)
        self.assertEqual(len(run._engineResults()), 1)

    def test_particles_that_came_before_the_input_s_run_failed_are_classified(self):
        """Nothing was, where fewer had come than are classified first; then two particles of each class were enough for
        classes to which all that came later were assigned."""
        source, _, _ = growingParticles(self, "failing2d", FIRST)
        for classes, enough in ((3, 2), (4, 2), (1, 50)):
            run = self.makeProtocol(
                CryodlProtClassify2D,
                dict(inputParticles=(source, "outputParticles")),
                classes=classes,
                firstParticles=100,
                useGpu=False,
            )
            failed = mock.patch.object(StreamEnd, "of", side_effect=ValueError("the run 'x' failed."))
            with failed, mock.patch.object(protocol_classify_2d, "_ENOUGH", enough):
                if classes == 3:
                    run._waitForFirst()
                    self.assertEqual(len(idsInStar(run._firstFile())), FIRST)
                else:
                    said = f"'x' failed. 6 particles came, fewer than {enough} for each class"
                    self.assertRaisesRegex(ValueError, said, run._waitForFirst)

    def logOf(self, run):
        path = run._getLogsPath("run.stdout")  # none before the run's process is there
        return open(path, encoding="utf-8").read() if os.path.exists(path) else ""

    def test_a_batch_that_was_added_in_part_is_completed_and_a_whole_one_left_alone(self):
        source, more, close = growingParticles(self, "twice2d", FIRST)
        more()
        run = self.start(source, classifyAgain=False)
        run.firstParticles.set(COUNT)
        self.launch(run)
        waitFor(self, run, lambda: run.hasAttribute("outputAverages"))
        self.end(run, close)
        before = members(run.outputClasses)
        run._addToOutputs(run._folder(), False, 0)
        self.assertEqual(members(run.outputClasses), before)
        run.outputClasses.close()
        connection = sqlite3.connect(run.outputClasses.getFileName())
        with connection:
            connection.execute("DELETE FROM Class001_Objects WHERE id IN (10, 22)")
        connection.close()
        self.assertEqual(self.sizeOf(run), COUNT - 3)
        run._addToOutputs(run._folder(), False, 0)
        after = members(run.outputClasses)
        self.assertEqual((after[0], {k: sorted(ids) for k, ids in after[1].items()}), before)
        self.assertEqual([made.getSize() for made in run.outputClasses.iterItems()], [4, 4, 3])

    def test_too_few_first_particles_are_named(self):
        source, _, _ = growingParticles(self, "wrong2d", FIRST)
        run = self.start(source)
        run.firstParticles.set(5)
        self.assertIn("First particles is 5 for 3 classes", " ".join(run.validate()))
        run.firstParticles.set(6)
        run.smallestBatch.set(0)
        self.assertIn("Smallest batch is 0", " ".join(run.validate()))
        self.assertTrue(CryodlProtClassify2D.worksInStreaming())
