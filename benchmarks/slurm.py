# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl - pick particles` through a real SLURM on this machine, killed and requeued. PYTHON is Scipion's."""

import getpass
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyworkflow as pw
from bench import ROOT, benchmark, columns, real
from recipes.trials import output_files

sys.path.insert(0, str(ROOT))
import cryodl_scipion.tests.conftest  # noqa: F401  a Scipion of its own, in a temporary folder

pw.Config.getDomain().getPlugins()
import types

from pwem.protocols import ProtImportMicrographs
from pyworkflow.project import Manager
from pyworkflow.template import TemplateList

from cryodl_scipion import Plugin
from cryodl_scipion.protocols import CryodlProtPick, CryodlProtTrainPicker
from cryodl_scipion.protocols.model_field import SHIPPED
from cryodl_scipion.tests import arrivals, base, synthetic

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "scancel")
QUEUE = "normal"
_CONF = """ClusterName=trial
SlurmctldHost={host}(127.0.0.1)
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
SlurmUser={user}
SlurmdUser={user}
SlurmctldPort={port}
SlurmdPort={other}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmdSpoolDir={folder}/spool
StateSaveLocation={folder}/state
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
MpiDefault=none
ReturnToService=2
SchedulerParameters=bf_interval=1,sched_min_interval=500000,batch_sched_delay=1
JobRequeue=1
KillWait=2
MinJobAge=300
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 RealMemory=4000 State=UNKNOWN
PartitionName={queue} Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> str:
    """A sentence where a program of SLURM, or the right to start it, is missing; '' where nothing is."""
    lost = [name for name in PROGRAMS if _program(name) is None]
    if lost:
        return f"{', '.join(lost)} missing. On Debian: apt-get install slurmctld slurmd slurm-client munge"
    return "" if os.geteuid() == 0 else "slurmd is started by root alone. Run this as root, in a container or sandbox."


class Cluster:
    """with Cluster(folder): one node of four CPUs is up, and SLURM_CONF names it for all programs started from here."""

    def __init__(self, folder):
        self.folder, self._daemons = os.path.abspath(folder), []

    def __enter__(self):
        for name in ("spool", "state"):
            os.makedirs(os.path.join(self.folder, name))
        ports = _freePorts(2)
        values = dict(host=socket.gethostname(), user=getpass.getuser(), queue=QUEUE, port=ports[0], other=ports[1])
        Path(self._path("slurm.conf")).write_text(_CONF.format(folder=self.folder, **values), encoding="utf-8")
        with open(self._path("munge.key"), "wb") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(os.urandom(1024))
        os.environ["SLURM_CONF"] = self._path("slurm.conf")
        names = dict(socket="socket", pid="pid-file", key="key-file", log="log-file", seed="seed-file")
        options = [f"--{option}={self._path('munge.' + end)}" for end, option in names.items()]
        try:
            self._start("munged", "--foreground", "--force", *options)
            self._start("slurmctld", "-D")
            self._start("slurmd", "-D")
            self._wait(lambda: "idle" in self.ask("sinfo", "-h", "-o", "%T"), "The node does not come up.")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for daemon in reversed(self._daemons):
            daemon.terminate()
        for daemon in self._daemons:
            daemon.wait(30)

    def _start(self, name, *options):
        with open(self._path(name + ".out"), "w") as log:
            self._daemons.append(subprocess.Popen([_program(name), *options], stdout=log, stderr=log))
        time.sleep(1)

    def _path(self, name):
        return os.path.join(self.folder, name)

    def _wait(self, condition, sentence, seconds=60):
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise RuntimeError(f"{sentence} See {self.folder}.")
            time.sleep(0.5)

    def ask(self, *command):
        """What a program of SLURM says."""
        return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout

    def jobs(self):
        """{job's id: state} of all jobs that SLURM remembers."""
        return dict(line.split() for line in self.ask("squeue", "-h", "-t", "all", "-o", "%i %T").splitlines())

    def details(self, job):
        """{field: value} of a job."""
        return dict(word.split("=", 1) for word in self.ask("scontrol", "show", "job", job).split() if "=" in word)


def hostsFile(example, destination):
    """Write the example of the documentation with less memory for a job. Returns the new file's path."""
    Path(destination).write_text(Path(example).read_text(encoding="utf-8").replace('"4G"', '"500M"'), encoding="utf-8")
    return destination


def _program(name):
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin:/usr/local/sbin")


def _freePorts(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


BATCH = 2
NO_MAP = "No map was determined"
_LIMIT, _LONG = 1500, 7200  # s for a run
_TIME, _STEPS = "0:03:00", 120  # time limit of a training's job, which is cut in the middle of it
CHAIN = "chain"
TRIALS = {
    "steps": "Each batch of micrographs is a job.",
    "whole": "The whole run is one job.",
    "whole-killed": "The whole run is one job, which is killed (scancel, SIGKILL) at work; the user continues it.",
    "whole-requeued": "The whole run is one job, which is requeued (scontrol requeue) at work; nobody does anything.",
    "step-killed": "Each batch is a job; one is killed at work; the user continues the run while others work.",
    "step-requeued": "Each batch is a job; one is requeued at work; nobody does anything.",
    "whole-limit": "A training is one job, which reaches its time limit; nobody does anything.",
    "step-limit": "The step of a training is a job, which reaches its time limit; nobody does anything.",
    CHAIN: "From the micrographs of EMPIAR-10028 to the judged map: each run of `cryodl-unattended` is a job.",
}


KILLS = {
    "whole-killed": ("scancel", "--signal=KILL", "--full"),
    "whole-requeued": ("scontrol", "requeue"),
    "step-killed": ("scancel",),
    "step-requeued": ("scontrol", "requeue"),
}


class Trials:
    """A project whose runs go to the queue. cluster: Cluster. options: of the command line."""

    def __init__(self, folder, cluster, options):
        self.cluster, self._count = cluster, options.micrographs
        hosts = hostsFile(str(ROOT / "docs" / "hosts_slurm.conf"), os.path.join(folder, "hosts.conf"))
        made = synthetic if options.stand_in else arrivals
        self._diameter = made.DIAMETER
        made.writeMicrographs(os.path.join(folder, "mics"), self._count)
        os.makedirs(os.path.join(pw.Config.SCIPION_USER_DATA, "projects"), exist_ok=True)
        self.project = Manager().createProject("queue", location=folder, hostsConf=hosts)
        os.chdir(self.project.path)
        self.imported = self.project.newProtocol(
            ProtImportMicrographs,
            filesPath=os.path.join(folder, "mics"),
            filesPattern="*.mrc",
            samplingRate=made.PIXEL_SIZE,
            voltage=300,
            sphericalAberration=2.7,
            amplitudeContrast=0.1,
            magnification=50000,
        )
        self.project.launchProtocol(self.imported, wait=True)
        self._undisturbed = self._newRun(None)
        self.project.launchProtocol(self._undisturbed, wait=True)
        if not self._undisturbed.isFinished():
            raise RuntimeError(_plain(self._undisturbed.getErrorMessage()))
        self._wanted = self._picks(self._undisturbed)

    def run(self, name):
        """{tried, verdict, said, seconds} of a trial: what was said, or sentences about what went wrong."""
        start = time.monotonic()
        steps, command = ("Y" if name.startswith("step") else "N"), KILLS.get(name)
        try:
            if name.endswith("limit"):
                said, problems = self._cut(steps)
            else:
                said, problems = self._disturbed(steps, *command) if command else self._through(steps)
        except (RuntimeError, TimeoutError) as error:
            said, problems = "", [str(error)]
        verdict, seconds = "; ".join(problems) or "survived", round(time.monotonic() - start)
        return dict(tried=TRIALS[name], verdict=verdict, said=said, seconds=seconds)

    def _through(self, steps):
        run, jobs = self._submitted(steps)
        waitFor(self.project, run)
        jobs, wanted = self._jobsSince(jobs), -(-self._count // BATCH) if steps == "Y" else 1
        problems = [] if len(jobs) == wanted else [f"{len(jobs)} jobs, not {wanted}"]
        return f"{len(jobs)} jobs, {', '.join(sorted(set(jobs.values()))).lower()}", problems + self._check(run)

    def _disturbed(self, steps, *command):
        run, job = self._atWork(steps)
        self.cluster.ask(*command, job)
        waitFor(self.project, run)
        if "requeue" in command:
            restarts = self.cluster.details(job).get("Restarts")
            said = "SLURM began the job a second time" if restarts == "1" else f"SLURM began the job again: {restarts}"
            return said, ([] if restarts == "1" else ["not requeued"]) + self._check(run)
        if run.isFinished():
            return "", ["the run had ended before its job was killed, or took no notice"]
        return self._continued(run, f"{run.getStatus()}; {_plain(run.getErrorMessage())}")

    def _cut(self, steps):
        """A training that SLURM cuts and begins again, until it has ended: the model of one that nothing cuts."""
        whole, run = self._newTraining(), self._newTraining()
        self.project.launchProtocol(whole, wait=True)
        toQueue(run, steps, _TIME)
        before = set(self.cluster.jobs())
        self.project.launchProtocol(run, wait=False)
        waitFor(self.project, run)
        ((job, _),) = self._jobsSince(before).items()
        restarts = int(self.cluster.details(job).get("Restarts", 0))
        texts = [
            path.read_text(errors="replace") for path in Path(run._getLogsPath()).glob("*") if path.suffix != ".db"
        ]
        steps = re.findall(r"Continuing the training at step (\d+)", "\n".join(texts))
        wanted, found = self._filesOf(whole), self._filesOf(run)
        other = sorted(key for key in {*wanted, *found} if wanted.get(key) != found.get(key))
        problems = [] if run.isFinished() else [f"the run did not finish: {_plain(run.getErrorMessage())}"]
        problems += [] if restarts and steps else ["it was not begun again from its checkpoint"]
        problems += [f"{name} is another file" for name in other[:4]]
        return f"begun {restarts + 1} times, went on at step {', '.join(steps)} of {_STEPS}; the same files", problems

    def _newTraining(self):
        run = self.project.newProtocol(
            CryodlProtTrainPicker, particleDiameter=self._diameter, useGpu=False, steps=_STEPS
        )
        run.inputCoordinates.set(self._undisturbed)
        run.inputCoordinates.setExtended("outputCoordinates")
        return run

    def _filesOf(self, run):
        return output_files(Path(run._getExtraPath()), (run._getPath(), f"_{run.getObjId()}"))

    # ----- runs
    def _newRun(self, steps):
        run = self.project.newProtocol(
            CryodlProtPick,
            objLabel=f"pick, steps to queue: {steps}",
            modelFrom=SHIPPED,
            shippedModel="ribosome",
            particleDiameter=self._diameter,
            useGpu=False,
            streamingBatchSize=BATCH,
            numberOfThreads=3,
            binThreads=1,
        )
        run.inputMicrographs.set(self.imported)
        run.inputMicrographs.setExtended("outputMicrographs")
        if steps:
            toQueue(run, steps)
        return run

    def _submitted(self, steps):
        """A run that was launched, and the jobs that were there before."""
        before = set(self.cluster.jobs())
        run = self._newRun(steps)
        self.project.launchProtocol(run, wait=False)
        return run, before

    def _atWork(self, steps):
        """A run of which some micrographs are picked and others are not, and its running job."""
        run, before = self._submitted(steps)
        end = time.monotonic() + _LIMIT
        while time.monotonic() < end:
            running = [job for job, state in self._jobsSince(before).items() if state == "RUNNING"]
            if running and 1 <= len(self._candidates(run)) < self._count:
                return run, running[0]
            time.sleep(0.1)
        raise TimeoutError(f"no micrograph was picked in {_LIMIT} s")

    def _jobsSince(self, before):
        return {job: state for job, state in self.cluster.jobs().items() if job not in before}

    def _continued(self, run, said):
        """Continue a run that was killed; what was picked before must not be picked again."""
        before = self._candidates(run)
        self.project.launchProtocol(run, wait=False)
        waitFor(self.project, run)
        after = self._candidates(run)
        return f"{said}; continued with {len(before)} of {self._count} done", self._check(run) + [
            f"{name} was picked twice" for name in before if after.get(name) != before[name]
        ]

    # ----- results
    def _candidates(self, run):
        folder = os.path.join(run.getPicksFolder(), "candidates")
        if not os.path.isdir(folder):
            return {}
        return {e.name[:-5]: e.stat().st_mtime_ns for e in os.scandir(folder) if e.name.endswith(".star")}

    def _picks(self, run):
        """[(micrograph, x, y)] of a run's output."""
        return sorted((c.getMicName(),) + c.getPosition() for c in run.outputCoordinates.iterItems())

    def _check(self, run):
        if not run.isFinished():
            return [f"the run did not finish: {run.getStatus()} {_plain(run.getErrorMessage())}"]
        problems = [] if run.outputCoordinates.isStreamClosed() else ["the set is still open"]
        if self._picks(run) != self._wanted:
            problems.append("the picks are not those of an undisturbed run")
        return problems


def toQueue(run, steps, limit="1:00:00"):
    run._useQueue.set(True)
    run.setQueueParams([QUEUE, {"JOB_TIME": limit, "JOB_MEMORY": "500M", "QUEUE_FOR_JOBS": steps}])


def waitFor(project, run, limit=_LIMIT):
    """Until a run has ended. limit: s. Raises TimeoutError."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        time.sleep(1)
        project._updateProtocol(run)
        if not run.isActive():
            return
    raise TimeoutError(f"the run had not ended after {limit} s: {run.getStatus()}")


def chain(folder, cluster, micrographs):
    """{tried, verdict, said, seconds} of a whole template, whose runs are submitted one after the other."""
    start, one = time.monotonic(), real("empiar10028")
    os.mkdir(os.path.join(folder, "mics"))
    for path in one.micrographs[:micrographs]:
        shutil.copy(path, os.path.join(folder, "mics"))
    answers = dict(mics=os.path.join(folder, "mics"), pixel=one.pixel_size, diameter=one.diameter, cs=2.0)
    answers.update(classes=10, timeout=10, settled=1, ctf="cryodl")
    hosts = hostsFile(str(ROOT / "docs" / "hosts_slurm.conf"), os.path.join(folder, "hosts.conf"))
    os.makedirs(os.path.join(pw.Config.SCIPION_USER_DATA, "projects"), exist_ok=True)
    project = Manager().createProject("chain", location=os.path.join(folder, "project"), hostsConf=hosts)
    os.chdir(project.path)
    templates = TemplateList()
    templates.addPluginTemplates("cryodl-unattended")
    (template,) = templates.templates
    template.replaceEnvVariables()
    template.parseContent()
    for alias, value in answers.items():
        template.setParamValue(alias, str(value))
    runs, problems = list(project.loadProtocols(template.createTemplateFile()).values()), []
    runs.insert(-3, runs.pop(1))  # the first map stands in the place of a known structure
    jobs = {}  # SLURM forgets one five minutes after its end
    for run in runs:
        toQueue(run, "N", "24:00:00")
        project.launchProtocol(run, wait=False)
        waitFor(project, run, _LONG)
        jobs.update(cluster.jobs())
        if not run.isFinished():
            problems.append(f"{run.getObjLabel()}: {run.getStatus()} {_plain(run.getErrorMessage())}")
        if problems or any(line.startswith(NO_MAP) for line in run.summary()):
            break
    wanted = runs.index(run) + 1
    problems += [] if len(jobs) == wanted else [f"{len(jobs)} jobs, not {wanted}"]
    said = [line for run in runs for line in run.summary() if line.startswith(("Map of", NO_MAP, "FSC"))]
    said = f"{len(jobs)} jobs, {', '.join(sorted(set(jobs.values()))).lower()}. {' '.join(map(_plain, said))}"
    verdict, seconds = "; ".join(problems) or "survived", round(time.monotonic() - start)
    return dict(tried=TRIALS[CHAIN], verdict=verdict, said=said, seconds=seconds)


def _plain(text):
    return (text or "").replace("\x1b[31m", "").replace("\x1b[0m", "").strip()


@benchmark(
    cases=dict(trial=TRIALS),
    tables={"slurm": columns({"trial": "tried", "outcome": "verdict", "what was said": "said", "s": "seconds"})},
    quick=dict(stand_in=True),
)
def slurm(run, trial, micrographs=8, stand_in=False):
    """munged, slurmctld and slurmd of Debian's packages run in a temporary folder, on ports of their own; submitted is
    by Scipion's queue with docs/hosts_slurm.conf. Needs root (slurmd does) and the engine; stand_in: the tests'
    stand-in for it, for machines that are too busy. Every trial ends with a check that the picks are those of a run
    without a queue, and that no micrograph was picked twice."""
    with tempfile.TemporaryDirectory(prefix="cryodl-slurm-") as folder:
        if stand_in:
            base.usePython(base.fakePython(folder))
            os.environ["FAKE_ENGINE_SLEEP"] = "2"  # so that there is time to kill
        problem = missing() or " ".join(Plugin.validateInstallation())
        if problem:
            raise RuntimeError(f"Not run: {problem}")
        options = types.SimpleNamespace(micrographs=micrographs, stand_in=stand_in)
        with Cluster(os.path.join(folder, "cluster")) as cluster:
            if trial == CHAIN:
                return chain(folder, cluster, micrographs)
            return Trials(folder, cluster, options).run(trial)
