# SPDX-License-Identifier: GPL-3.0-or-later
"""What all protocols of the plugin share: GPU fields, the request, the engine's run, its results, the summary."""

import dataclasses
import glob
import importlib
import os
import re
from fnmatch import fnmatch
from typing import Any, Dict, Iterable, List, Optional, Sequence, Set, Tuple

import pyworkflow.utils as pwutils
from pwem.objects import Volume
from pwem.protocols import EMProtocol
from pyworkflow.protocol import GPU_LIST, USE_GPU, Form, params

from .. import Plugin
from ..convert import maps, reading, tomography
from ..convert.form import inFormWords
from ..engine.cryodl import contract
from .checks import sayIf
from .inputs import PluginProtocol, ProtocolMixin, chosenInputs, ownObject

if tomography.HAS_TOMO:
    from ..convert.tomograms.subtomograms import joinedBefore, tiltWarnings

# Where Scipion's classes stand; tomo is imported for tomograms alone.
_MODULES = ("pwem.objects", "..objects", "pyworkflow.object", "tomo.objects")


def possibleOutputs(configClass: type, several: bool = False) -> Dict[str, Any]:
    """{name: class} of all outputs that a protocol makes of its command's results, as `_possibleOutputs` holds them;
    {} if nothing of Scipion is made. several: instead those whose names hold a *, an output for each feature etc."""
    return {
        name: _classOf(word)
        for name, word in _declared(configClass).items()
        if ("*" in name) is several and (tomography.HAS_TOMO or "SubTomogram" not in word)
    }


def refuseUndeclared(protocol: Any, names: Iterable[str]) -> None:
    """Raises KeyError for outputs that the contract does not declare."""
    byForm = isinstance(getattr(type(protocol), "_possibleOutputs", None), property)
    declared = protocol._possibleOutputs if byForm or protocol._CONFIG is None else _declared(protocol._CONFIG)
    unknown = sorted(name for name in names if not any(fnmatch(name, one) for one in declared))
    if unknown:
        raise KeyError(f"{protocol.getClassName()} defines {', '.join(unknown)}, which the contract does not declare")


def _declared(configClass: type) -> Dict[str, str]:
    outputs: Any = contract.EVERY_COMMAND[contract.command_name(configClass)].outputs
    return {name: word for field in contract.describe_outputs(outputs) for name, word in field.scipion.items()}


def _classOf(word: str) -> Any:
    modules = (importlib.import_module(module, __package__) for module in _MODULES)
    return next(getattr(module, word) for module in modules if hasattr(module, word))


REQUEST_FILE = "request.json"
RESULT_FILE = "result.json"
# A list of a thousand skipped micrographs helps nobody in a summary; the result files hold all.
MAX_LISTED = 10
# What batches measure: of sentences that differ in it alone the last one is told.
_MEASURED = re.compile(r"\d[\d.]* (?:Å|px|times|(?:confident )?(?:micrograph|particle|pick|candidate)s?)\b")


def hasGpuDriver() -> bool:
    """Whether this machine has NVIDIA's driver (Linux, or Linux in Windows)."""
    return any(os.path.exists(path) for path in ("/dev/nvidiactl", "/dev/dxg"))


class CryodlProtBase(PluginProtocol):
    """Mixin; it stands before the Scipion class in the list of bases. EngineProtocol is the one that runs a command."""

    _CONFIG: Any = None

    def _defineOutputs(self, **outputs: Any) -> None:
        refuseUndeclared(self, outputs)
        super()._defineOutputs(**outputs)

    def _addGpuParams(self, form: Form) -> None:
        # A machine without NVIDIA's driver gets No as default; the choice is always the user's and never changed later.
        form.addHidden(
            USE_GPU,
            params.BooleanParam,
            default=hasGpuDriver(),
            label="Use GPU?",
            help="If Yes and no GPU is available, the run stops with an error; it does not fall back to the CPU.",
        )
        form.addHidden(
            GPU_LIST,
            params.StringParam,
            default="0",
            label="Choose GPU IDs",
            help="Numbers of GPUs, such as 0 or 0,1. Repeat a number to run several steps on one GPU.",
        )

    def getGpuList(self) -> Any:
        # Without this, CPU runs are held to as many steps at a time as there are GPUs in the hidden list.
        return super().getGpuList() if self.usesGpu() else []

    def _request(self, config: contract.Config, names: Sequence[str] = ()) -> contract.Request:
        """The request of a config, with threads and seed of the form. names: of its items, for the engine."""
        return contract.Request(
            contract.command_of(config),
            config,
            threads=getattr(self, "binThreads", self.numberOfThreads).get(),  # of a batch, where several work at once
            seed=self.getAttributeValue("seed", None) or 0,
            names=tuple(names),
        )

    def _runEngine(self, config: contract.Config, folder: str, names: Sequence[str] = ()) -> contract.Result[Any]:
        """Run the command in `folder` (request.json and result.json lie there). Returns the contract's Result. names:
        of its items, for the engine, where its row says that they may be given. Raises ValueError for what the user can
        mend, RuntimeError for the rest; both with the engine's own sentence."""
        pwutils.makePath(folder)
        request, command = os.path.join(folder, REQUEST_FILE), contract.command_of(config)
        self._request(config, names).write(request)
        result = Plugin.runEngine(self, command, request, os.path.join(folder, RESULT_FILE), useGpu=self.usesGpu())
        noted = dataclasses.replace(result, warnings=(*result.warnings, *self._headerWarnings()))
        noted.write(os.path.join(folder, RESULT_FILE))  # a summary opens no maps
        return noted

    def _forgetOther(
        self, config: contract.Config, folder: str, *outputs: str, free: Tuple[str, ...] = (), names: Sequence[str] = ()
    ) -> None:
        """Remove what an earlier start with other settings left; the same settings are continued. folder: where that
        start's request lies. outputs: what it made; <output>.partial goes as well. free: settings that the engine
        continues with, whatever they were. names: as _runEngine."""
        earlier = os.path.join(folder, REQUEST_FILE)
        if not os.path.exists(earlier):
            return
        before, now = (asked.decisive() for asked in (contract.Request.read(earlier), self._request(config, names)))
        if any(before.get(name) != now[name] for name in now if name not in free):
            pwutils.cleanPath(os.path.join(folder, RESULT_FILE), *[o + e for o in outputs for e in ("", ".partial")])

    def _engineResultFiles(self) -> List[str]:
        pattern = os.path.join(glob.escape(self._getExtraPath()), "**", RESULT_FILE)
        return sorted(glob.glob(pattern, recursive=True), key=os.path.getmtime)

    def _engineResults(self) -> List[contract.Result[Any]]:
        return [contract.Result.read(path) for path in self._engineResultFiles()]

    def warnings(self) -> List[str]:
        """The form asks before it runs; a run that a queue sends to another machine may find its GPU there."""
        found = sayIf(
            self.usesGpu() and not self.useQueue() and not hasGpuDriver(),
            "*GPU IDs* is set to Yes, but this machine has no GPU driver, so the run would stop. Choose No, or send "
            "the run to a machine with a GPU.",
        )
        return [inFormWords(self, one) for one in found + self._headerWarnings() + super().warnings()]

    def _headerWarnings(self) -> List[str]:
        chosen = [ownObject(pointer) for _, pointer in chosenInputs(self)]
        cubes = [one for one in chosen if hasattr(one, "hasCoordinates3D") and one.getSize()]
        return maps.headerWarnings(chosen) + [said for one in cubes for said in tiltWarnings(one, joinedBefore(self))]

    def _checkGpus(self) -> List[str]:
        if not self.usesGpu():
            return []
        try:
            gpus = self.getGpuList()
        except ValueError:
            gpus = []
        together, given = max(2, self.numberOfThreads.get() or 0) - 1 if self.modeParallel() else 1, self.gpuList.get()
        tooMany = len(gpus) > together and not contract.EVERY_COMMAND[contract.command_name(self._CONFIG)].several
        return (
            sayIf(not gpus, f"GPU IDs is {given!r}; give numbers such as 0 or 0,1, or choose not to use GPUs.")
            or sayIf(
                tooMany and not self.modeParallel(),
                f"GPU IDs names {len(gpus)} GPUs ({given}); this protocol uses one GPU. Give one number.",
            )
            or sayIf(
                tooMany,
                f"GPU IDs names {len(gpus)} GPUs ({given}), but with {self.numberOfThreads.get()} Scipion threads only "
                f"{together} of them can be used: each batch uses one GPU, and one thread only watches for input. "
                f"Set Scipion threads to {len(gpus) + 1}, or give fewer GPUs.",
            )
        )

    def _missingPointers(self) -> List[str]:
        given = {name for name, pointer in chosenInputs(self) if pointer.get() is not None}
        return [
            name
            for name, param in self.getDefinition().iterParams()
            if isinstance(param, params.PointerParam)
            and not param.allowsNull.get()
            and self.evalParamCondition(name)
            and name not in given
        ]

    def _summary(self) -> List[str]:
        results = self._engineResults()
        said = [w for one in results for w in one.warnings if "for the reasons above" not in w]
        first, last = ({_MEASURED.sub("", w): w for w in told} for told in (said[::-1], said))
        more = " (The last of several that say so.)"
        warnings = [f"Warning: {w}{more * (w != first[key])}" for key, w in last.items()]
        return self._tell(results) + skippedLines(results) + deviceLines(results) + warnings


def skippedLines(results: Sequence[contract.Result]) -> List[str]:
    """Sentences about the items left out, the last word on each. results: oldest first."""
    skipped = skippedItems(results)
    lines = [f"  {item.item}: {item.reason}" for item in skipped[:MAX_LISTED]]
    more = sayIf(len(skipped) > MAX_LISTED, f"  and {len(skipped) - MAX_LISTED} more, see {RESULT_FILE} in extra/")
    return [f"*{len(skipped)} skipped:*", *lines, *more] if skipped else []


def doneItems(result: contract.Result[Any]) -> Set[str]:
    """Names of the items of which a result (of picking, assessing, CTF estimation, denoising ...) tells the outcome."""
    return {name for way in ("counts", "metrics", "fits", "files") for name in result.outputs.get(way) or ()}


def skippedItems(results: Sequence[contract.Result[Any]]) -> List[contract.Skipped]:
    """The contract's Skipped of all results, one for each item. An item that a later result has done is left out."""
    skipped = {}
    for result in results:
        for name in doneItems(result):
            skipped.pop(name, None)
        skipped.update((item.item, item) for item in result.skipped)
    return list(skipped.values())


def deviceLines(results: Sequence[contract.Result]) -> List[str]:
    # "none: ..." stands for a batch that was finished before and only thresholded again
    devices = sorted({r.device for r in results if r.device and not r.device.startswith("none")})
    return [f"Computed on: {', '.join(devices)}"] if devices else []


EVALUATION, EVALUATION_FOLDER = "evaluation.json", "evaluation"


class HasEvaluation(ProtocolMixin):
    """Mixin of protocols whose engine command writes a folder with evaluation.json."""

    def getEvaluationFolder(self) -> str:
        return self._getExtraPath(EVALUATION_FOLDER)

    def getEvaluation(self) -> Any:
        return reading.readJson(os.path.join(self.getEvaluationFolder(), EVALUATION))


class OneRunBase(CryodlProtBase, EMProtocol):
    """A run of one step, or a mixin of such: what one does with the folders of a single run of the engine."""

    def _inputFolder(self) -> str:
        return self._getExtraPath("input")

    def _structureFor(self, structure: Volume, named: bool = False) -> str:
        """The structure's file for the engine, which exists from the first step on. named: by the structure's name."""
        pwutils.makePath(self._inputFolder())
        return maps.structureForEngine(structure, self._inputFolder(), named)

    def _runOnce(
        self,
        config: contract.Config,
        *outputs: str,
        goesOn: bool = False,
        folder: Optional[str] = None,
        names: Sequence[str] = (),
    ) -> contract.Result[Any]:
        """Run the engine, unless it has made `outputs` with the same settings. goesOn: the engine knows what is
        finished in its folder, and goes on there. folder: of request and result, where the engine runs several times.
        names: of the config's items, for the engine."""
        folder = folder or self._getExtraPath()
        self._forgetOther(config, folder, *outputs, names=names)
        path = os.path.join(folder, RESULT_FILE)
        if all(os.path.exists(made) for made in (path, *outputs)):
            return contract.Result.read(path)
        if not goesOn:
            # without its result an output tells too little: the run was killed between the two
            pwutils.cleanPath(*outputs)
        return self._runEngine(config, folder, names)

    def _pointed(self, name: str) -> Any:
        return [found for found in map(ownObject, getattr(self, name)) if found is not None]
