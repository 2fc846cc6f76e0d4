# SPDX-License-Identifier: GPL-3.0-or-later
"""Particles that arrive while they are oriented and denoised: none is lost, none is there twice; with a fake engine."""

import contextlib
import os
import sqlite3

from pyworkflow.object import Set
from pyworkflow.protocol import MODE_RESTART

from ...convert.particles.particles import ArrivingParticles
from ...protocols import CryodlProtAssignOrientations, CryodlProtDenoise
from ..particle_sets import COUNT, ParticlesTest, makeParticles
from ..streams import stopRun, waitFor

FIRST = 5  # particles that are there when the runs start


def growingParticles(test, name, first=FIRST, run=None):
    """(run whose set has its first particles, function that adds the others, function that closes the set). run: one
    that has finished, whose set begins anew."""
    run = run or makeParticles(test, name, aligned=False)
    whole = [item.clone() for item in run.outputParticles]
    output = run.outputParticles
    path = output.getFileName()
    output.close()
    os.remove(path)

    def grow(items, state):
        isThere = os.path.exists(path)
        output = type(run.outputParticles)(filename=path)
        if isThere:
            output.loadAllProperties()
            output.enableAppend()
        else:
            output.copyInfo(run.outputParticles)
        for item in items:
            output.append(item)
        output.setStreamState(state)
        output.write()
        output.close()

    grow(whole[:first], Set.STREAM_OPEN)
    stored = run.outputParticles
    stored.setStreamState(Set.STREAM_OPEN)
    # what pyworkflow has copied of a run in another process has no name: stored so, the run would lose its output
    stored._objName, stored._objParentId = f"{run.strId()}.outputParticles", run.getObjId()
    acquisition = stored.getAcquisition()  # nor have its parts
    acquisition._objName = f"{run.strId()}.{stored.strId()}._acquisition"
    acquisition._objParentId = stored.getObjId()
    run._store(stored)
    return run, lambda: grow(whole[first:], Set.STREAM_OPEN), lambda: grow([], Set.STREAM_CLOSED)


class TestCryodlParticleStreams(ParticlesTest):
    def start(self, protocolClass, source, **values):
        pointers = dict(inputParticles=(source, "outputParticles"), inputModel=(self.model, "outputModel"))
        if protocolClass is CryodlProtAssignOrientations:
            pointers["inputStructure"] = (self.volume, "outputVolume")
        run = self.makeProtocol(
            protocolClass, pointers, useGpu=False, streamingSleepOnWait=1, smallestBatch=4, batchWait=1, **values
        )
        self.proj.launchProtocol(run, wait=False)
        waitFor(self, run, lambda: run.hasAttribute("outputParticles"))
        return run

    def check(self, protocolClass):
        source, more, close = growingParticles(self, "stream" + protocolClass.__name__)
        run = self.start(protocolClass, source)
        self.assertTrue(run.outputParticles.isStreamOpen())
        self.assertEqual(run.outputParticles.getSize(), FIRST)
        stopRun(self.proj, run)
        more()
        self.proj.launchProtocol(run, wait=False)
        waitFor(self, run, lambda: run.outputParticles.getSize() == COUNT)
        close()
        waitFor(self, run, lambda: not run.isActive())
        self.assertTrue(run.isFinished(), run.getErrorMessage())
        output = run.outputParticles
        self.assertFalse(output.isStreamOpen())
        self.assertEqual([item.getObjId() for item in output], [item.getObjId() for item in self.raw.outputParticles])
        self.assertEqual(len(run._engineResults()), 2)
        self.checkThatUntickedItemsAreTold(run, source)
        return run

    def checkThatUntickedItemsAreTold(self, run, source):
        """Continue kept what was made of them, without a word; then it asked each time, and of what came unticked."""
        self.assertEqual(run.warnings(), [])
        with contextlib.closing(sqlite3.connect(source.outputParticles.getFileName())) as file:
            file.execute("UPDATE Objects SET enabled = 0 WHERE id IN (10, 12)")
            file.commit()
            (said,) = run.warnings()
            self.assertIn("Input: 2 items unticked in Scipion's table since this run began.", said)
            file.execute("CREATE TEMP TABLE more AS SELECT * FROM Objects WHERE id = 10")
            file.execute("UPDATE more SET id = 99")
            file.execute("INSERT INTO Objects SELECT * FROM more")
            file.commit()
            self.assertEqual(run.warnings(), [said])
        self.proj.launchProtocol(run, wait=True)
        self.assertTrue(run.isFinished(), run.getErrorMessage())
        self.assertEqual(run.warnings(), [])
        run.runMode.set(MODE_RESTART)
        self.assertEqual(run.warnings(), [])

    def test_arriving_particles_are_oriented_once_though_the_run_is_stopped(self):
        run = self.check(CryodlProtAssignOrientations)
        self.assertTrue(run.outputParticles.hasAlignmentProj())
        self.assertIn("*12 particles* oriented", run.summary()[0])

    def test_arriving_particles_are_denoised_once_though_the_run_is_stopped(self):
        run = self.check(CryodlProtDenoise)
        self.assertIn("*12 particles* denoised", run.summary()[0])
        folders = sorted(os.path.dirname(path) for path in run._engineResultFiles())
        self.assertEqual([int(folder.rsplit("_", 1)[1]) for folder in folders], [FIRST, COUNT - FIRST])
        # a few particles do not tell the contrast
        self.assertEqual([run._configIn(folder).contrast for folder in folders], ["bright", "auto"])

    def test_particles_of_a_batch_are_read_alone(self):
        arriving = ArrivingParticles(self.raw.outputParticles)
        arriving.update()
        ids = arriving.ready(set())
        self.assertEqual((len(ids), arriving.closed), (COUNT, True))
        path = os.path.join(self.data, "batch.sqlite")
        arriving.writeBatch(path, [ids[1], ids[7]])
        batch = type(self.raw.outputParticles)(filename=path)
        batch.loadAllProperties()
        self.assertEqual([item.getObjId() for item in batch], [ids[1], ids[7]])
        self.assertEqual(batch.getSamplingRate(), self.raw.outputParticles.getSamplingRate())
