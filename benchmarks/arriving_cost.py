# SPDX-License-Identifier: GPL-3.0-or-later
"""CPU time of Scipion's side for each of thousands of arriving micrographs, from the first ones to the last ones.

    python benchmarks/arriving_cost.py --micrographs 10000 --output benchmarks/figures/arriving_cost.json

The streaming loops of the protocols run here, in this process, on sets that grow by a batch at every look. The engine's
place takes a function that writes its result files; pyworkflow's bookkeeping of steps is left out. Work that goes with
the square of the micrographs shows as a time that grows along a row.
"""

import argparse
import contextlib
import json
import os
import shutil
import sys
import tempfile
import threading
import time
from unittest import mock

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [TOP, os.path.join(TOP, "cryodl_scipion", "engine")]
import pyworkflow as pw  # noqa: E402

import cryodl_scipion.tests.conftest  # noqa: E402,F401  a Scipion of its own, in a temporary folder

pw.Config.getDomain().getPlugins()

import mrcfile  # noqa: E402
import numpy as np  # noqa: E402
from pwem.objects import Coordinate, CTFModel, Micrograph, SetOfCoordinates, SetOfCTF, SetOfMicrographs  # noqa: E402
from pwem.protocols import EMProtocol  # noqa: E402
from pyworkflow.object import Float, Pointer, Set  # noqa: E402
from pyworkflow.project import Manager  # noqa: E402

from cryodl_scipion import Plugin, protocols  # noqa: E402
from cryodl_scipion.convert.micrographs.coordinates import SCORE  # noqa: E402
from cryodl_scipion.convert.micrographs.pick_sets import writePicks  # noqa: E402
from cryodl_scipion.engine.cryodl import contract  # noqa: E402
from cryodl_scipion.protocols.model_field import SHIPPED  # noqa: E402

PICKS = 6  # on a micrograph
PARTS = 4  # of the micrographs, that are compared


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--micrographs", type=int, default=10000)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--protocols", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--output", help="JSON file for the figures; rows of other protocols stay")
    options = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="cryodl-cost-")
    rows = {}
    if options.output and os.path.exists(options.output):
        with open(options.output, encoding="utf-8") as file:
            rows = json.load(file)["rows"]
    try:
        os.makedirs(os.path.join(pw.Config.SCIPION_USER_DATA, "projects"), exist_ok=True)
        project = Manager().createProject(os.path.basename(folder), location=folder)
        os.chdir(project.path)
        for name in options.protocols:
            rows[name] = Stream(project, options, CASES[name]).measure()
            print(name, *(f"{value:.2f}" for value in rows[name]), "ms of CPU for a micrograph", flush=True)
            if options.output:
                about = dict(micrographs=options.micrographs, batch=options.batch, picks=PICKS)
                with open(options.output, "w", encoding="utf-8") as file:
                    json.dump(dict(about, rows=rows), file, indent=1)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    sys.stdout.flush()
    os._exit(0)  # pyworkflow leaves threads behind


class Stream:
    """Growing micrographs, their picks and CTFs, and one protocol that takes them."""

    def __init__(self, project, options, case):
        self.options, self._case, self._count, self._time, self._waiting = options, case, 0, [], []
        self._source = project.newProtocol(EMProtocol)
        project.saveProtocol(self._source)
        self._source.makePathsAndClean()
        self._sets = {}
        for name, SetClass in (("mics", SetOfMicrographs), ("ctfs", SetOfCTF), ("a", SetOfCoordinates)):
            self._make(name, SetClass)
        self._make("b", SetOfCoordinates)
        self._image = os.path.abspath(self._source._getExtraPath("mic.mrc"))
        with mrcfile.new(self._image) as mrc:
            mrc.set_data(np.zeros((64, 64), np.float32))
        self.grow()
        self._source._defineOutputs(**self._sets)
        self._source.setFinished()
        project._storeProtocol(self._source)
        self._reopen()
        self._protocol = project.newProtocol(case["protocol"], useGpu=False, **case["values"])
        for field, output in case["inputs"].items():
            pointers = [Pointer(self._source, extended=one) for one in output.split()]
            getattr(self._protocol, field).copy(pointers[0]) if len(pointers) == 1 else getattr(
                self._protocol, field
            ).set(pointers)
        project.saveProtocol(self._protocol)
        self._protocol.makePathsAndClean()
        self._protocol._lock = threading.RLock()

    def _make(self, name, SetClass):
        made = SetClass.create(self._source._getPath(), prefix=name)
        if SetClass is SetOfMicrographs:
            made.setSamplingRate(5.0)
            made.getAcquisition().setVoltage(300)
            made.getAcquisition().setSphericalAberration(2.7)
            made.getAcquisition().setAmplitudeContrast(0.1)
        else:
            made.setMicrographs(self._sets["mics"])
        if SetClass is SetOfCoordinates:
            made.setBoxSize(40)
        self._sets[name] = made

    def _reopen(self):
        """A protocol that ends closes its sets."""
        for one in self._sets.values():
            one.enableAppend()
            one.setStreamState(Set.STREAM_OPEN)
            one.write()

    def grow(self):
        """One batch more in all sets, which are closed with the last one. It costs the protocol nothing."""
        began = time.process_time()
        new = range(self._count + 1, min(self._count + self.options.batch, self.options.micrographs) + 1)
        for one in self._sets.values() if self._count else ():
            one.enableAppend()
        self._count = new[-1]
        for number in new:
            micrograph = Micrograph(location=self._image)
            micrograph.setMicName(f"mic_{number:06d}.mrc")
            micrograph.setObjId(number)
            micrograph.setSamplingRate(5.0)
            self._sets["mics"].append(micrograph)
            ctf = CTFModel(objId=number)
            ctf.setStandardDefocus(20000, 19000, 10)
            ctf.setMicrograph(micrograph)
            self._sets["ctfs"].append(ctf)
            for name in "ab":
                for position in range(PICKS):
                    item = Coordinate(x=20 + 4 * position, y=30)
                    item.setMicrograph(micrograph)
                    setattr(item, SCORE, Float(0.9))
                    self._sets[name].append(item)
        for one in self._sets.values():
            one.setStreamState(Set.STREAM_CLOSED if self._count == self.options.micrographs else Set.STREAM_OPEN)
            one.write()
        self._time.append((self._count, time.process_time()))
        self._away = getattr(self, "_away", 0.0) + time.process_time() - began
        self._time[-1] += (self._away,)

    def measure(self):
        """Milliseconds of CPU for a micrograph, in each part of the stream."""
        protocol, step = self._protocol, [0]

        def runStep(function, *arguments, prerequisites=(), **more):
            step[0] += 1
            function = getattr(protocol, function) if isinstance(function, str) else function
            if not more.get("wait"):
                self._waiting.append((function, arguments))
            if self._case["run"] is generate:
                self.work()
            return step[0]

        with contextlib.ExitStack() as patches:
            for name, value in (("_insertFunctionStep", runStep), ("updateSteps", lambda: None)):
                patches.enter_context(mock.patch.object(protocol, name, value))
            patches.enter_context(mock.patch.object(protocol, "_streamingSleepOnWait", self.grow))
            patches.enter_context(mock.patch.object(Plugin, "runEngine", self._engine))
            self._case["run"](protocol, self)
        self._time.append((self._count + self.options.batch, time.process_time(), self._away))
        edges = [self._time[round(k * (len(self._time) - 1) / PARTS)] for k in range(PARTS + 1)]
        return [1000 * (b[1] - a[1] - b[2] + a[2]) / (b[0] - a[0]) for a, b in zip(edges, edges[1:])]

    def work(self):
        """Run the steps that wait."""
        while self._waiting:
            function, arguments = self._waiting.pop(0)
            function(*arguments)

    def open(self):
        """Whether more micrographs will come."""
        return self._count < self.options.micrographs

    def _engine(self, protocol, command, requestPath, resultPath, useGpu=False):
        began = time.process_time()
        config = contract.Request.read(requestPath).config
        result = contract.Result(command, dict(self._case["engine"](config)), device="none")
        result.write(resultPath)
        self._away += time.process_time() - began
        return result


def pickAll(protocol, stream):
    """pwem's loop, which asks for new input and output at every look."""
    protocol._steps = []
    protocol._insertAllSteps()
    stream.work()
    while stream.open():
        stream.grow()
        protocol._stepsCheck()
        stream.work()
    protocol._stepsCheck()


def generate(protocol, stream):
    """The loop of the protocols that insert steps as batches arrive."""
    protocol.stepsGeneratorStep()


def picked(config):
    """What `pick`, `auto-pick` and `consensus-picks` say."""
    names = getattr(config, "names", None) or tuple(
        sorted(name[:-5] for name in os.listdir(config.picks[0].split("=", 1)[1]))
    )
    os.makedirs(os.path.join(config.output, "candidates"), exist_ok=True)
    files = {name: os.path.join(config.output, name + ".star") for name in names}
    for name, path in files.items():
        writePicks(path, [(20 + 4 * position, 30, 0.9) for position in range(PICKS)])
    counts = dict.fromkeys(names, PICKS)
    found = dict(coordinates=files, counts=counts, picks=PICKS * len(names), folder=config.output)
    if hasattr(config, "picks"):
        for path in files.values():
            with open(path, encoding="utf-8") as file:
                text = file.read().replace("_rlnAutopickFigureOfMerit #3", "_rlnAutopickFigureOfMerit #3\n_n #4")
            with open(path, "w", encoding="utf-8") as file:
                file.write(text.replace("_n #4", "_cryodlNumberOfSets #4").replace("0.9000\n", "0.9000 2\n"))
        return dict(found, sets=[], groups={})
    model = getattr(config, "model", "general")
    found.update(candidates=files, thresholds=dict.fromkeys(names, 0.5), threshold_uncertainty=None, pictures={})
    found.update(expected_particles=dict(number=1.0, deviation=1.0), expected={}, size=None)
    return dict(found, model=model, contrast="dark", particle_diameter=100.0, picked_diameter=100.0, threshold=0.5)


def estimated(config):
    """What `estimate-ctf` says."""
    figure = dict(defocus_u=2e4, defocus_v=1.9e4, defocus_angle=1.0, phase_shift=0.0)
    figure.update(resolution=5.0, correlation=0.9, strength=20.0)
    return dict(
        folder=os.path.dirname(config.output),
        star=config.output,
        spectra=dict.fromkeys(config.names, ""),
        figures=dict.fromkeys(config.names, figure),
    )


def _case(protocol, run, engine, inputs, **values):
    values = dict(dict(streamingSleepOnWait=1), **values)
    return dict(protocol=protocol, run=run, engine=engine, inputs=inputs, values=values)


_MICS, _MODEL = dict(inputMicrographs="mics"), dict(modelFrom=SHIPPED, shippedModel="general", particleDiameter=100)
CASES = {
    "pick particles": _case(
        protocols.CryodlProtPick, pickAll, picked, _MICS, streamingBatchSize=64, batchWait=0, **_MODEL
    ),
    "auto-pick": _case(protocols.CryodlProtAutoPick, generate, picked, _MICS, batchSize=64, batchWait=0, **_MODEL),
    "estimate CTF": _case(protocols.CryodlProtEstimateCTF, generate, estimated, _MICS, batchSize=64),
    "consensus coordinates": _case(
        protocols.CryodlProtConsensus,
        generate,
        picked,
        dict(inputSets="a b"),
        **dict(batchSize=64, batchWait=0, particleDiameter=100),
    ),
    "filter picks by score": _case(
        protocols.CryodlProtThresholdPicks, generate, picked, dict(inputCoordinates="a"), batchSize=64
    ),
}

if __name__ == "__main__":
    main()
