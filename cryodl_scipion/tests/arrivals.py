# SPDX-License-Identifier: GPL-3.0-or-later
"""Micrographs that arrive while a picking run works, is killed with all its processes, and continued; then what was
lost.

Used by test_facility.py with a few micrographs and by benchmarks/scipion_kills.py (week) with thousands.
"""

import collections
import os
import time

import mrcfile
import numpy as np

from ..convert.micrographs.picks import readPicks
from .processes import describeProcess, isThere, killTree, treeOf

SIDE = 256  # px
PIXEL_SIZE = 10.0  # Å/px
DIAMETER = 300.0  # Å
_PARTICLES = 6  # per micrograph

# seconds since the start, micrographs arrived and picked, MB of Scipion's process now, MB of the engine at its peak
Sample = collections.namedtuple("Sample", "seconds arrived picked scipion engine")


def writeMicrographs(folder, count):
    """Write <folder>/mic_<number>.mrc, each with other noise and particles. Returns their paths."""
    os.makedirs(folder)
    generator = np.random.default_rng(7)
    y, x = np.mgrid[:SIDE, :SIDE]
    paths = []
    for number in range(1, count + 1):
        image = generator.standard_normal((SIDE, SIDE), np.float32)
        for px, py in generator.uniform(30, SIDE - 30, (_PARTICLES, 2)):
            image -= 2 * np.exp(-(np.hypot(x - px, y - py) ** 4) / (0.45 * DIAMETER / PIXEL_SIZE) ** 4)
        paths.append(os.path.join(folder, f"mic_{number:05d}.mrc"))
        with mrcfile.new(paths[-1]) as mrc:
            mrc.set_data(np.clip(image * 20 + 100, 0, 255).astype(np.int16))
            mrc.voxel_size = PIXEL_SIZE
    return paths


class Arrivals:
    """Files that move into a folder as time goes on. paths: where they wait; rate: files per second.

    stopFile: written when all have moved, if it is given; Scipion's import ends when it sees it and nothing new.
    """

    def __init__(self, paths, folder, rate):
        self._waiting, self._folder, self._rate = list(paths), folder, rate
        self._started, self.count, self._all = time.monotonic(), 0, len(paths)
        self.stopFile = None
        os.makedirs(folder, exist_ok=True)

    def update(self):
        """Move in what is due by now."""
        due = min(self._all, 1 + int((time.monotonic() - self._started) * self._rate))
        while self.count < due:
            path = self._waiting[self.count]
            os.utime(path)  # Scipion asks when a file was last changed
            os.rename(path, os.path.join(self._folder, os.path.basename(path)))
            self.count += 1
        if self.count == self._all and self.stopFile and not os.path.exists(self.stopFile):
            open(self.stopFile, "w").close()


class KilledRun:
    """Runs a picking protocol to its end, through kills.

    project: Scipion's. protocol: not launched yet. arrivals: Arrivals. killAt: numbers of picked micrographs at which
    Scipion's process and the engine are killed at once by SIGKILL, and the run is continued.
    """

    def __init__(self, project, protocol, arrivals, killAt, pause=1.0):
        self.project, self.protocol, self.arrivals = project, protocol, arrivals
        self._killAt, self._pause, self._started = list(killAt), pause, time.monotonic()
        self.samples, self.kills, self._stamps = [], 0, {}

    def run(self, seconds):
        """Returns when the run has ended. Raises TimeoutError after so many seconds."""
        self.project.launchProtocol(self.protocol, wait=False)
        while self._alive() or self._killAt:
            if self.seconds() > seconds:
                self._kill()
                raise TimeoutError(
                    f"{len(self.picked())} of {self.arrivals.count} micrographs were picked in {seconds} s."
                )
            self.arrivals.update()
            self._sample()
            if self._killAt and len(self.picked()) >= self._killAt[0]:
                self._killAt.pop(0)
                self._killAndContinue()
            elif self._killAt and not self._alive():
                lines = "\n".join(self.protocol.getLogsLastLines(40, logFile=0))
                raise RuntimeError(f"The run ended before it was killed: {lines}")
            time.sleep(self._pause)
        self.project._updateProtocol(self.protocol)

    def seconds(self):
        return time.monotonic() - self._started

    # ----- killing
    def _processes(self):
        """Ids of the run's processes, Scipion's first."""
        return treeOf(self.protocol.getPid())

    def _alive(self):
        return isThere(self.protocol.getPid())

    def _kill(self):
        killTree(self.protocol.getPid())

    def _killAndContinue(self):
        self._kill()
        self.kills += 1
        self._stamps.update(self.picked())
        self.project._updateProtocol(self.protocol)  # as the project window does; it finds the process gone
        if not self.protocol.isFailed():
            raise RuntimeError(f"Scipion takes the killed run for {self.protocol.getStatus()}.")
        self.project.launchProtocol(self.protocol, wait=False)

    # ----- measuring
    def picked(self):
        """{micrograph name: when its candidates were written (ns)}."""
        folder = os.path.join(self.protocol.getPicksFolder(), "candidates")
        if not os.path.isdir(folder):
            return {}
        with os.scandir(folder) as entries:
            return {e.name[:-5]: e.stat().st_mtime_ns for e in entries if e.name.endswith(".star")}

    def _sample(self):
        scipion, engine = 0.0, 0.0
        for pid in self._processes():
            command, memory = describeProcess(pid)
            if "\0-m\0cryodl\0" in command:
                engine = max(engine, memory.get("VmHWM", 0.0))
            elif "pw_protocol_run.py" in command and "python" in command.split("\0")[0]:
                scipion = max(scipion, memory.get("VmRSS", 0.0))
        self.samples.append(Sample(self.seconds(), self.arrivals.count, len(self.picked()), scipion, engine))

    # ----- checking
    def problems(self, names):
        """Sentences about what was lost, doubled or done twice; empty if nothing was. names: of all micrographs."""
        protocol, output = self.protocol, getattr(self.protocol, "outputCoordinates", None)
        if output is None or not protocol.isFinished():
            return [f"The run did not finish: {protocol.getErrorMessage()}"]
        found = [] if output.isStreamClosed() else ["The set of coordinates is still open."]
        picked, inSet = self.picked(), collections.defaultdict(list)
        for item in output.iterItems():
            inSet[os.path.splitext(item.getMicName())[0]].append(item.getPosition())
        found += [f"{n} was picked twice." for n, stamp in self._stamps.items() if picked.get(n) != stamp]
        found += [f"{n} was not picked." for n in names if n not in picked]
        found += [f"{n} is in the set but not among the micrographs." for n in inSet if n not in names]
        for name in names:
            wanted = sorted(
                (int(round(x)), int(round(y)))
                for x, y, _ in readPicks(os.path.join(protocol.getPicksFolder(), name + ".star"))
            )
            if sorted(inSet[name]) != wanted:
                found.append(f"{name} has {len(inSet[name])} coordinates in the set and {len(wanted)} in its file.")
        done, shown = len(protocol._doneNames()), sum(map(bool, inSet.values()))
        if done != shown:
            found.append(f"{done} micrographs are noted down as done, {shown} have picks.")
        return found


def waitForOutput(project, protocol, name, seconds):
    """Until a running protocol has an output. Raises RuntimeError if it ends without, or after so many seconds."""
    end = time.monotonic() + seconds
    while not protocol.hasAttribute(name):
        if time.monotonic() > end or not protocol.isActive():
            raise RuntimeError(f"{protocol.getClassName()} has no {name}. {protocol.getErrorMessage()}")
        time.sleep(1)
        project._updateProtocol(protocol)
