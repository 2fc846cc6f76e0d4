# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl - pick particles` through a real SLURM on this machine: submitted, killed, requeued, continued.

    python benchmarks/slurm.py [--micrographs 8] [--stand-in] [--trials NAME ...]
                               [--output benchmarks/robustness/slurm.json]

Starts munged, slurmctld and slurmd of Debian's packages in a temporary folder, on ports of their own, and submits by
Scipion's queue with docs/hosts_slurm.conf. Needs root (slurmd does), Scipion's Python with this plugin, and the engine;
with --stand-in the tests' stand-in for it, for machines that are too busy. Every trial ends with a check that the picks
are those of a run without a queue, and that no micrograph was picked twice. Exit code 1 if one of them is not.
docs/clusters.md has the results.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import pyworkflow as pw  # noqa: E402

import cryodl_scipion.tests.conftest  # noqa: E402,F401  a Scipion of its own, in a temporary folder

pw.Config.getDomain().getPlugins()

from pwem.protocols import ProtImportMicrographs  # noqa: E402
from pyworkflow.project import Manager  # noqa: E402
from slurm_cluster import QUEUE, Cluster, hostsFile, missing  # noqa: E402

from cryodl_scipion import Plugin  # noqa: E402
from cryodl_scipion.protocols import CryodlProtPick  # noqa: E402
from cryodl_scipion.protocols.model_field import SHIPPED  # noqa: E402
from cryodl_scipion.tests import arrivals, synthetic  # noqa: E402
from cryodl_scipion.tests.base import fakePython, usePython  # noqa: E402

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BATCH = 2
_LIMIT = 600  # s for a run
TRIALS = {
    "steps": "Each batch of micrographs is a job.",
    "whole": "The whole run is one job.",
    "whole-killed": "The whole run is one job, which is killed (scancel, SIGKILL) at work; the user continues it.",
    "whole-requeued": "The whole run is one job, which is requeued (scontrol requeue) at work; nobody does anything.",
    "step-killed": "Each batch is a job; one is killed at work; the user continues the run.",
    "step-requeued": "Each batch is a job; one is requeued at work; nobody does anything.",
}


def main() -> None:
    """Run the trials and say what came of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--micrographs", type=int, default=8)
    parser.add_argument("--trials", nargs="+", default=list(TRIALS), choices=TRIALS)
    parser.add_argument("--stand-in", action="store_true", help="instead of the engine")
    parser.add_argument("--output", help="JSON file for the rows")
    options = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="cryodl-slurm-")
    if options.stand_in:
        usePython(fakePython(folder))
        os.environ["FAKE_ENGINE_SLEEP"] = "2"  # so that there is time to kill
    problem = missing() or " ".join(Plugin.validateInstallation())
    if problem:
        print("Skipped: " + problem)
        return
    try:
        with Cluster(os.path.join(folder, "cluster")) as cluster:
            rows = Trials(folder, cluster, options).run(options.trials)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if options.output:
        with open(options.output, "w", encoding="utf-8") as file:
            json.dump(dict(micrographs=options.micrographs, stand_in=options.stand_in, rows=rows), file, indent=1)
    sys.stdout.flush()
    os._exit(any(row["verdict"] != "survived" for row in rows))  # pyworkflow leaves threads behind


class Trials:
    """A project whose runs go to the queue. cluster: Cluster. options: of the command line."""

    def __init__(self, folder, cluster, options):
        self.cluster, self._count = cluster, options.micrographs
        hosts = hostsFile(os.path.join(TOP, "docs", "hosts_slurm.conf"), os.path.join(folder, "hosts.conf"))
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
        undisturbed = self._newRun(None)
        self.project.launchProtocol(undisturbed, wait=True)
        self._wanted = self._picks(undisturbed)

    def run(self, names):
        """[{name, tried, verdict, said, seconds}] of trials."""
        rows = []
        for name in names:
            start = time.monotonic()
            try:
                said, problems = getattr(self, "_" + name.replace("-", "_"))()
            except (RuntimeError, TimeoutError) as error:
                said, problems = "", [str(error)]
            verdict = "; ".join(problems) or "survived"
            rows.append(
                dict(name=name, tried=TRIALS[name], verdict=verdict, said=said, seconds=round(time.monotonic() - start))
            )
            last = rows[-1]
            print(f"{last['name']}: {last['verdict']} ({last['seconds']} s). {last['said']}", flush=True)
        return rows

    # ----- trials: (what was said, sentences about what went wrong)
    def _steps(self):
        run, jobs = self._submitted("Y")
        self._wait(run)
        jobs = self._jobsSince(jobs)
        problems = [] if len(jobs) == self._batches() else [f"{len(jobs)} jobs for {self._batches()} batches"]
        return f"{len(jobs)} jobs, {_states(jobs)}", problems + self._check(run)

    def _whole(self):
        run, jobs = self._submitted("N")
        self._wait(run)
        jobs = self._jobsSince(jobs)
        return "1 job, " + _states(jobs), ([] if len(jobs) == 1 else [f"{len(jobs)} jobs"]) + self._check(run)

    def _whole_killed(self):
        run, job = self._atWork("N")
        self.cluster.ask("scancel", "--signal=KILL", "--full", job)
        self._wait(run)
        status, said = run.getStatus(), run.getErrorMessage()
        if run.isFinished():
            return "", ["the run had ended before its job was killed"]
        return self._continued(run, f"{status}; {_plain(said)}")

    def _whole_requeued(self):
        run, job = self._atWork("N")
        self.cluster.ask("scontrol", "requeue", job)
        self._wait(run)
        restarts = self.cluster.details(job).get("Restarts")
        said = "SLURM began the job a second time" if restarts == "1" else f"SLURM began the job again: {restarts}"
        return said, ([] if restarts == "1" else ["not requeued"]) + self._check(run)

    def _step_killed(self):
        run, job = self._atWork("Y")
        self.cluster.ask("scancel", job)
        self._wait(run)
        if run.isFinished():
            return "", ["the run took no notice of the job that was killed"]
        return self._continued(run, _plain(run.getErrorMessage()))

    def _step_requeued(self):
        run, job = self._atWork("Y")
        self.cluster.ask("scontrol", "requeue", job)
        self._wait(run)
        restarts = self.cluster.details(job).get("Restarts")
        said = "SLURM began the job a second time" if restarts == "1" else f"SLURM began the job again: {restarts}"
        return said, ([] if restarts == "1" else ["not requeued"]) + self._check(run)

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
            numberOfThreads=2,
            binThreads=1,
        )
        run.inputMicrographs.set(self.imported)
        run.inputMicrographs.setExtended("outputMicrographs")
        if steps:
            self._toQueue(run, steps)
        return run

    def _toQueue(self, run, steps):
        run._useQueue.set(True)
        run.setQueueParams([QUEUE, {"JOB_TIME": "1:00:00", "JOB_MEMORY": "500M", "QUEUE_FOR_JOBS": steps}])

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

    def _batches(self):
        return -(-self._count // BATCH)

    def _wait(self, run):
        end = time.monotonic() + _LIMIT
        while time.monotonic() < end:
            time.sleep(1)
            self.project._updateProtocol(run)
            if not run.isActive():
                return
        raise TimeoutError(f"the run had not ended after {_LIMIT} s: {run.getStatus()}")

    def _continued(self, run, said):
        """Continue a run that was killed; what was picked before must not be picked again."""
        before = self._candidates(run)
        self.project.launchProtocol(run, wait=False)
        self._wait(run)
        after = self._candidates(run)
        again = [name for name in before if after.get(name) != before[name]]
        return f"{said}; continued with {len(before)} of {self._count} done", self._check(run) + [
            f"{name} was picked twice" for name in again
        ]

    # ----- results
    def _candidates(self, run):
        folder = os.path.join(run.getCoordsDir(), "candidates")
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


def _states(jobs):
    return ", ".join(sorted(set(jobs.values()))).lower()


def _plain(text):
    return (text or "").replace("\x1b[31m", "").replace("\x1b[0m", "").strip()


if __name__ == "__main__":
    main()
