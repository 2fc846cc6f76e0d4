# SPDX-License-Identifier: GPL-3.0-or-later
"""GPUs, CPU threads and the queue, as Scipion users expect them, with a fake engine and a fake queue."""

import os
import stat
import tempfile
from types import SimpleNamespace
from unittest import mock

import psutil
from pyworkflow.project import Manager
from pyworkflow.protocol.executor import ThreadStepExecutor

from ..engine.cryodl import contract
from ..protocols import (
    CryodlProtImportModel,
    CryodlProtImproveMap,
    CryodlProtPick,
    CryodlProtTrainPicker,
    protocol_base,
)
from . import synthetic
from .base import CryodlTest, fakePython, usePython
from .fake_model import writeModel
from .launching import realProcesses
from .streams import waitFor

# One job at a time, in the background; the job's id is that of its process.
SUBMIT = '#!/bin/sh\nsh "$1" >"$1.log" 2>&1 </dev/null &\necho "Submitted batch job $!"\n'
CHECK = '#!/bin/sh\nkill -0 "$1" 2>/dev/null && echo "$1 RUNNING"\nexit 0\n'
HOSTS = """[localhost]
PARALLEL_COMMAND = mpirun -np %_(JOB_NODES)d %_(COMMAND)s
NAME = FAKE
MANDATORY = False
SUBMIT_COMMAND = {submit} %_(JOB_SCRIPT)s
SUBMIT_TEMPLATE = #!/bin/bash
    # gpus: %_(GPU_COUNT)d threads: %_(JOB_THREADS)d time: %_(JOB_TIME)s
    %_(JOB_COMMAND)s
CANCEL_COMMAND = kill %_(JOB_ID)s
CHECK_COMMAND = {check} %_(JOB_ID)s
JOB_DONE_REGEX = (No such|^$)
QUEUES = {{ "fake": [["JOB_TIME", "1:00:00", "Time", "Wall clock"],
    ["QUEUE_FOR_JOBS", "N", "Steps to queue? (Y/N)", "one job per step"]] }}
"""


class MachineTest(CryodlTest):
    """Four micrographs and a model."""

    @classmethod
    def prepare(cls):
        synthetic.writeMicrographs(cls.data + "/mics", 4)
        cls.imported = cls.importMicrographs(cls.data + "/mics")
        cls.model = cls.runProtocol(CryodlProtImportModel, modelFolder=writeModel(cls.data + "/model", {}))
        cls.inputs = dict(inputMicrographs=(cls.imported, "outputMicrographs"), inputModel=(cls.model, "outputModel"))

    def devices(self, protocol):
        self.assertTrue(protocol.isFinished(), protocol.getErrorMessage())
        return sorted(result.device for result in protocol._engineResults())


class TestCryodlDevices(MachineTest):
    @classmethod
    def setUpClass(cls):
        os.environ["FAKE_ENGINE_GPUS"] = "0 1"
        super().setUpClass()

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        del os.environ["FAKE_ENGINE_GPUS"]

    def pick(self, **values):
        return self.runProtocol(CryodlProtPick, self.inputs, streamingBatchSize=2, **values)

    def test_the_form_asks_before_a_gpu_is_used_that_is_not_there(self):
        protocol = self.makeProtocol(CryodlProtTrainPicker, {}, useGpu=True)
        for driver, queue, asked in ((False, False, True), (False, True, False), (True, False, False)):
            protocol._useQueue.set(queue)
            with mock.patch.object(protocol_base, "hasGpuDriver", return_value=driver):
                self.assertEqual("*GPU IDs* is set to Yes, but" in " ".join(protocol.warnings()), asked)
        protocol.useGpu.set(False)
        with mock.patch.object(protocol_base, "hasGpuDriver", return_value=False):
            self.assertNotIn("has no GPU driver", " ".join(protocol.warnings()))

    def test_gpus_that_could_not_all_work_are_refused_before_the_run(self):
        def errors(protocolClass=CryodlProtPick, **values):
            inputs = self.inputs if protocolClass is CryodlProtPick else {}
            return " ".join(self.makeProtocol(protocolClass, inputs, **values)._checkGpus())

        self.assertEqual(errors(useGpu=True, gpuList="1", numberOfThreads=2), "")
        self.assertEqual(errors(useGpu=True, gpuList="0,0", numberOfThreads=3), "")
        self.assertEqual(errors(useGpu=False, gpuList="0-3", numberOfThreads=2), "")
        self.assertIn(
            "2 GPUs (0,1), but with 2 Scipion threads only 1", errors(useGpu=True, gpuList="0,1", numberOfThreads=2)
        )
        self.assertIn("Set Scipion threads to 5", errors(useGpu=True, gpuList="0-3", numberOfThreads=4))
        self.assertIn("this protocol uses one GPU", errors(CryodlProtImproveMap, useGpu=True, gpuList="0 1"))
        self.assertEqual(errors(CryodlProtTrainPicker, useGpu=True, gpuList="0 1"), "")
        for text in ("", "first"):
            self.assertIn("give numbers such as 0", errors(useGpu=True, gpuList=text))

    def test_as_many_threads_as_gpus_share_them_out(self):
        with tempfile.TemporaryDirectory() as meet, mock.patch.dict(os.environ, FAKE_ENGINE_MEET=meet):
            protocol = self.pick(useGpu=True, gpuList="0 1", numberOfThreads=3)
        self.assertEqual(self.devices(protocol), ["GPU 0 (fake)", "GPU 1 (fake)"])

    def inserted(self):
        """(executor, steps that need a GPU) of a run on two GPUs before any of its batches began."""
        values = dict(useGpu=True, gpuList="0 1", numberOfThreads=3, streamingBatchSize=2)
        protocol = self.makeProtocol(CryodlProtPick, self.inputs, **values)
        self.proj._setupProtocol(protocol)
        protocol.setStepsExecutor(ThreadStepExecutor(None, 2, gpuList=[0, 1]))
        protocol._insertAllSteps()
        protocol.stepsGeneratorStep()
        return protocol._stepsExecutor, [step for step in protocol._steps if step.needsGPU()]

    def test_batches_that_start_before_they_are_noted_down_have_gpus_of_their_own(self):
        executor, steps = self.inserted()
        self.assertTrue(all(executor._isStepRunnable(step) for step in steps))
        self.assertEqual([executor.gpuDict[step.getObjId()] for step in steps], [[0], [1]])

    def test_a_gpu_that_the_first_batch_gives_back_hides_none(self):
        executor, steps = self.inserted()
        steps[0].setObjId(steps[0].getIndex())  # as when it is noted down
        self.assertTrue(executor._isStepRunnable(steps[0]))
        executor.freeGpusSlot(steps[0].getObjId())
        self.assertEqual(sorted(executor.gpuDict.values()), [[0], [1]])

    def test_without_gpu_the_list_does_not_matter(self):
        protocol = self.pick(useGpu=False, gpuList="0", numberOfThreads=3, binThreads=3)
        self.assertEqual(self.devices(protocol), ["CPU (fake)"] * 2)
        request = contract.Request.read(
            os.path.join(protocol._getExtraPath("batches", "000001_000002_2"), "request.json")
        )
        self.assertEqual(request.threads, 3)

    def test_training_gets_its_gpu_and_threads(self):
        labels = self.makeCoordinates(self.imported, {1: [(40 + 30 * i, 50) for i in range(5)]})
        protocol = self.runProtocol(
            CryodlProtTrainPicker,
            dict(inputCoordinates=(labels, "outputCoordinates")),
            useGpu=True,
            gpuList="1",
            numberOfThreads=5,
            particleDiameter=90,
        )
        self.assertEqual(self.devices(protocol), ["GPU 1 (fake)"])
        self.assertEqual(contract.Request.read(protocol._getExtraPath("request.json")).threads, 5)


class TestCryodlQueue(MachineTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        names = {}
        for name, text in (("submit", SUBMIT), ("check", CHECK)):
            names[name] = os.path.join(cls.data, name + ".sh")
            with open(names[name], "w") as file:
                file.write(text)
            os.chmod(names[name], os.stat(names[name]).st_mode | stat.S_IXUSR)
        hosts = os.path.join(cls.data, "hosts.conf")
        with open(hosts, "w") as file:
            file.write(HOSTS.format(**names))
        cls.proj = Manager().createProject(cls.__name__, hostsConf=hosts)
        os.chdir(cls.proj.path)
        usePython(fakePython(cls.data))
        cls.prepare()

    def submit(self, stepsToQueue):
        protocol = self.started(stepsToQueue)
        waitFor(self, protocol, lambda: not protocol.isActive())
        return self.jobsOf(protocol)

    def started(self, stepsToQueue):
        protocol = self.makeProtocol(CryodlProtPick, self.inputs, useGpu=False, streamingBatchSize=2)
        protocol._useQueue.set(True)
        protocol.setQueueParams(["fake", {"JOB_TIME": "1:00:00", "QUEUE_FOR_JOBS": stepsToQueue}])
        self.proj.launchProtocol(protocol, wait=False)
        return protocol

    def jobsOf(self, protocol):
        self.assertEqual(self.devices(protocol), ["CPU (fake)"] * 2)
        self.assertEqual(protocol.outputCoordinates.getSize(), 16)
        return [name for name in os.listdir(protocol._getLogsPath()) if name.endswith(".job")]

    def test_jobs_that_outlive_scipions_process_are_cancelled_before_the_run_continues(self):
        with realProcesses(), mock.patch.dict(os.environ, FAKE_ENGINE_SLEEP="60"):
            protocol = self.started("Y")
            waitFor(self, protocol, lambda: len(protocol.getJobIds()) > 0)
        jobs = [psutil.Process(int(job)) for job in protocol.getJobIds()]
        psutil.Process(protocol.getPid()).kill()
        waitFor(self, protocol, protocol.isFailed)
        self.assertTrue(jobs[0].is_running())
        self.proj.launchProtocol(protocol, wait=False)
        self.assertFalse([job for job in jobs if job.is_running()])
        waitFor(self, protocol, lambda: not protocol.isActive())
        self.jobsOf(protocol)

    def test_only_processes_of_this_run_are_ended(self):
        protocol = self.makeProtocol(CryodlProtPick, self.inputs)
        ours = lambda words, pid=1: protocol._isOfThisRun(SimpleNamespace(pid=pid, info=dict(cmdline=words)))
        program, path = "/scipion/pyworkflow/apps/pw_protocol_run.py", self.proj.path
        self.assertTrue(ours(["python3", program, path, protocol.getDbPath(), protocol.strId()]))
        self.assertFalse(ours(["python3", program, path, protocol.getDbPath(), protocol.strId()], os.getpid()))
        self.assertFalse(ours(["python3", program, path, "Runs/000009_CryodlProtPick/logs/run.db", "9"]))
        self.assertFalse(ours(["python3", program, path + "2", protocol.getDbPath(), protocol.strId()]))
        self.assertFalse(ours(["vim", path, protocol.getDbPath()]))
        self.assertFalse(ours(None) or ours([]))

    def test_a_job_of_another_that_has_the_number_of_a_lost_one_is_left_alone(self):
        with realProcesses(), mock.patch.dict(os.environ, FAKE_ENGINE_SLEEP="60"):
            protocol = self.started("Y")
            waitFor(self, protocol, lambda: len(protocol.getJobIds()) > 0)
        other = psutil.Process(int(protocol.getJobIds()[0]))  # stands for one of another run
        psutil.Process(protocol.getPid()).kill()
        waitFor(self, protocol, protocol.isFailed)
        programs = os.path.join(self.data, "slurm")
        os.makedirs(programs)
        with open(os.path.join(programs, "scontrol"), "w", encoding="utf-8") as file:
            file.write(
                "#!/bin/sh\necho 'JobId=1 JobName=x'\necho '   Command=/elsewhere/Runs/000002_Other/logs/run.job'\n"
            )
        os.chmod(file.name, 0o755)
        with mock.patch.dict(os.environ, PATH=programs + os.pathsep + os.environ["PATH"]):
            self.proj.launchProtocol(protocol, wait=False)
        self.assertTrue(other.is_running())
        other.kill()
        waitFor(self, protocol, lambda: not protocol.isActive())

    def test_the_whole_run_as_one_job(self):
        self.assertEqual(len(self.submit("N")), 1)

    def test_each_batch_as_a_job(self):
        self.assertEqual(len(self.submit("Y")), 2)
