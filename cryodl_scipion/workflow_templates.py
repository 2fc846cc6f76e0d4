# SPDX-License-Identifier: GPL-3.0-or-later
"""The plugin's workflow templates, which say at once what they need and this machine does not have."""

import glob
import importlib.util
import json
import os
import re
import subprocess
import sys
import tkinter
from pathlib import Path
from tkinter import messagebox
from typing import Any, Dict, List, NoReturn

import pyworkflow as pw
from pwem.emlib.image import ImageHandler
from pyworkflow.protocol import HostConfig
from pyworkflow.template import LocalTemplate

from .convert.form import formName
from .engine.cryodl.contract.params import Config, check_value, describe_all
from .protocols.model_field import checkShippedName

_COMMAND, _NO_SCHEDULE, _NO_WINDOW = "template", "--noschedule", "--nogui"
# Where a run has its class, a template has these words and the answer which program estimates the CTF.
_CTF, _AUTO, _CTFFIND = "CTF by ", "auto", "ctffind"
_OPTIONAL = "optional"  # of a run that a template goes without as well: auto, yes, no, or the run that it goes with
_REFINE, _REFINING, _PARALLEL = "ProtRelionRefine3D", "relion_refine_mpi", "PARALLEL_COMMAND_RELION"
_FIRST_BY = {"cryodl": "CryodlProtInitialMap", "relion": "ProtRelionInitialModel"}
_IMAGES = ("ProtImportMicrographs", "ProtImportMovies")
_NONE = "none"  # no gain reference, no known structure: an answer, since a question without one is asked for
_CTF_BY = {_CTFFIND: "CistemProtCTFFind", "cryodl": "CryodlProtEstimateCTF"}


class CryodlTemplate(LocalTemplate):
    """A template that starts no run whose program is missing: Scipion would keep it scheduled for ever, in silence."""

    def parseContent(self) -> None:
        """Read the questions. With --nogui those without an answer take their defaults: no window opens and waits.
        Raises SystemExit if a question without a default has no answer then."""
        super().parseContent()
        answered = {word.split("=")[0] for word in sys.argv[1:] if "=" in word and word[0] != "-"}
        known = {param.getAlias() for param in self.params.values()}
        if unknown := " and ".join(sorted(answered - known - {"project_name"})):
            _refuse(f"The template {self.name} has no question {unknown}; its questions: {', '.join(sorted(known))}.")
        if _NO_WINDOW not in map(str.lower, sys.argv):
            return
        left = [param for param in self.params.values() if param.getAlias() not in answered]
        needed = [f"{param.getAlias()}=... ({param.getTitle()})" for param in left if not param.getValue()]
        if needed:
            _refuse(f"The template {self.name} also needs {'; '.join(needed)}. Add these to the command.")
        for param in left:
            self.content[param.getIndex()] = param.getValue()
            del self.params[param.getTitle()]

    def createTemplateFile(self) -> str:
        """Write the workflow with the answers filled in. Returns the path of a temporary JSON file. Raises SystemExit
        if `scipion template` is about to start the runs, and programs or plugins of some of them are missing; if no
        program is called as the answer says."""
        path = super().createTemplateFile()
        runs = json.loads(Path(path).read_text(encoding="utf-8"))
        _checkAnswers(runs)
        _fillSizes(runs)
        print("\n".join(chooseCtf(runs)))
        for place, run in enumerate(runs):
            if "gainFile" in run:
                sizes = _checkMovies(run["filesPath"], run["filesPattern"])
                if run["gainFile"] == _NONE:
                    del run["gainFile"]
                else:
                    _checkGain(run["gainFile"], sizes)
            elif run.get("filesPath") == _NONE:
                runs[place] = _firstMap(runs, run)
            elif run["object.className"] == _REFINE:
                of = run["referenceVolume"]
                (run["symmetryGroup"],) = [r["symmetry"] for r in runs if of == f"{r['object.id']}.outputVolume"]
        missing = missingPrograms(runs)
        print("\n".join(_leaveOut(runs, missing)))
        Path(path).write_text(json.dumps(runs, indent=4), encoding="utf-8")
        if missing and os.path.basename(sys.argv[0]) == _COMMAND and _NO_SCHEDULE not in map(str.lower, sys.argv):
            os.remove(path)
            _refuse(
                f"No project was made, because these runs of the workflow cannot start:\n{_listed(missing)}\nInstall "
                f"what is missing, or add {_NO_SCHEDULE} to the command `scipion template {self.getObjId()}`: it makes "
                "the project without starting it, and these runs can be replaced there."
            )
        if missing:
            print(f"These runs of the workflow cannot start on this machine:\n{_listed(missing)}")
        return path


def _refuse(why: str) -> NoReturn:
    """Raises SystemExit. If a window asked for the answers, which is gone by then, why is said in another one."""
    if getattr(tkinter, "_default_root", None) and os.path.basename(sys.argv[0]) == _COMMAND:
        messagebox.showerror("Workflow template", why)
    sys.exit(why)


def _checkAnswers(runs: List[Dict[str, Any]]) -> None:
    """Raises SystemExit for answers with which runs of a workflow could only fail, some of them hours later."""
    known, problems, side = pw.Config.getDomain().getProtocols(), [], float("inf")
    for run in runs:
        values = {name: value for name, value in run.items() if type(value) in (int, float)}
        config = getattr(known.get(run["object.className"]), "_CONFIG", None) or Config
        infos = [info for info in describe_all(config) if formName(info.name) in values and not info.choices]
        problems += [words for info in infos for words in check_value(info, values[formName(info.name)])]
        if 0 < side < values.get("particleDiameter", 0):
            problems.append(f"Particles of {values['particleDiameter']} Å are larger than a micrograph ({side:g} Å).")
        if not min(values.get(name, 1) for name in ("samplingRate", "voltage", "dosePerFrame")) > 0:
            problems.append(f"{run['object.label']}: pixel size, voltage and dose must be above 0.")
        if not re.fullmatch("[CD][1-9][0-9]?|T|O|I[1-4]?", run.get("symmetry", "C1"), re.IGNORECASE):
            problems.append(f"{run['object.label']}: {run['symmetry']} is no point group like C1, C4, D2, T, O, I.")
        if "shippedModel" in run:
            kind = getattr(known.get(run["object.className"]), "_MODEL_KIND", None) or "picker"
            problems += checkShippedName(run["shippedModel"], kind)
        where = os.path.join(run.get("filesPath", _NONE), run.get("filesPattern", "")).rstrip("/")
        files = glob.glob(where)
        if not files and run.get("dataStreaming"):
            print(f"There is no file {where} yet; the runs wait for one, up to {run['timeout']} s.")
        elif not files and where != _NONE:
            problems.append(f"There is no file {where}.")
        elif run["object.className"] in _IMAGES and not where.lower().endswith(".eer"):
            # the oldest, as others may be being written
            side = min(map(int, _sizeOf(min(files, key=os.path.getmtime)).split(" x "))) * run["samplingRate"]
    if problems:
        _refuse(f"No project was made. {' '.join(problems)}")


def _fillSizes(runs: List[Dict[str, Any]]) -> None:
    """Give the boxes and masks of a workflow that are 0 the size that suits its particles."""
    known = {name: value for run in runs for name, value in run.items()}
    diameter, pixelSize = known.get("particleDiameter", 0), known.get("samplingRate", 1)
    sizes = dict(boxSize=2 * int(-(-0.75 * diameter / pixelSize // 1)), maskDiameterA=round(1.2 * diameter))
    for run in runs:
        run.update({name: size for name, size in sizes.items() if run.get(name) == 0})


def _checkMovies(folder: str, pattern: str) -> Dict[str, List[str]]:
    """{width x height: movies} of a folder; without EER files, which may be sampled more finely than their gain.
    Raises SystemExit if there are two sizes: nothing later would say so, and one pixel size does not hold for both."""
    sizes: Dict[str, List[str]] = {}
    for path in sorted(glob.glob(os.path.join(folder, pattern))):
        if not path.lower().endswith(".eer"):
            sizes.setdefault(_sizeOf(path), []).append(path)
    if len(sizes) > 1:
        found = "; ".join(f"{size} px: {paths[0]} ({len(paths)} in all)" for size, paths in sizes.items())
        _refuse(
            f"No project was made: the movies have {len(sizes)} sizes. {found}. Make a project of each size: move the "
            "others out of the folder (movies), or narrow the pattern of names (pattern)."
        )
    return sizes


def _checkGain(gain: str, sizes: Dict[str, List[str]]) -> None:
    """Raises SystemExit without a gain reference as large as the movies: RELION would only say that all failed."""
    found = sorted(glob.glob(gain))
    if not found:
        _refuse(f"No project was made: there is no gain reference {gain} (gain). gain={_NONE} is for corrected movies.")
    own = _sizeOf(found[0])
    for size, movies in sizes.items():
        if size != own:
            _refuse(
                f"No project was made: the gain reference {gain} (gain) has {own} px, the movie {movies[0]} "
                f"{size} px. Give the gain reference of these movies, turned as they are, or gain={_NONE} if they are "
                "corrected."
            )


def _sizeOf(path: str) -> str:
    """Raises SystemExit if it cannot be read."""
    try:
        return " x ".join(map(str, ImageHandler.getDimensions(path)[:2]))
    except Exception as error:  # of whichever library reads it
        _refuse(f"No project was made: {path} cannot be read as an image ({error}). Replace it, or take it away.")


def chooseCtf(runs: List[Dict[str, Any]]) -> List[str]:
    """Give each run of a workflow whose class is "CTF by" `auto`, `ctffind` or `cryodl` its protocol. Returns which was
    taken and why. Raises SystemExit if the answer is another one."""
    sentences = []
    for run in [run for run in runs if run["object.className"].startswith(_CTF)]:
        answer = run["object.className"][len(_CTF) :]
        if answer not in (_AUTO, *_CTF_BY):
            _refuse(f"CTF by {answer} (ctf={answer}): the answers are {_AUTO}, {' and '.join(_CTF_BY)}.")
        missing = _missingCtffind(runs)
        chosen = "cryodl" if answer == "cryodl" or (answer == _AUTO and missing) else _CTFFIND
        found = f"CTFFIND cannot run here. {' '.join(missing)}" if missing else "plugin and program are there."
        run["object.className"] = _CTF_BY[chosen]
        if chosen == _CTFFIND:
            # its protocol gives each micrograph a CTF, and no micrographs: pick on those that our own would sort
            micrographs = run.pop("micrographsToPick", run.get("inputMicrographs"))
            for one in runs:
                if one.get("inputMicrographs") == f"{run.get('object.id')}.outputMicrographs":
                    one["inputMicrographs"] = micrographs
        why = found if answer == _AUTO else "as asked for."
        sentences.append(f"{_CTF}{'CTFFIND' if chosen == _CTFFIND else chosen}: {why}")
    return sentences


def _firstMap(runs: List[Dict[str, Any]], run: Dict[str, Any]) -> Dict[str, Any]:
    """A run in place of the import of a known structure: it finds one from the particles that are to be oriented by it.
    run: the import. Raises SystemExit if no program is called as the answer says."""
    number, by = run["object.id"], run.get("initial", "cryodl")
    if by not in _FIRST_BY:
        _refuse(f"First map by {by} (initial={by}): the answers are {' and '.join(_FIRST_BY)}.")
    (particles,) = [r["inputParticles"] for r in runs if r.get("inputStructure") == f"{number}.outputVolume"]
    for refined in runs:
        if by == "cryodl" and refined["object.className"] == _REFINE:  # RELION's own says no resolution
            refined["initialLowPassFilterA"] = f"{number}.outputResolution"
    names = ("object.className", "object.id", "object.label", "inputParticles")
    found = dict(zip(names, (_FIRST_BY[by], number, "find a first map", particles)))
    return found if by == "cryodl" else dict(found, doGpu=False, numberOfMpi=1)


def _leaveOut(runs: List[Dict[str, Any]], missing: Dict[str, List[str]]) -> List[str]:
    """Take the runs that an answer leaves out, or that cannot start here, out of both. Returns which were taken and
    why, of those that a template goes without. Raises SystemExit for another answer."""
    left: Dict[str, str] = {}
    sentences = []
    for run in list(runs):
        answer, label = run.pop(_OPTIONAL, ""), run["object.label"]
        if not answer or (answer.isdigit() and answer not in left):
            continue
        if answer not in (_AUTO, "yes", "no", *left):
            _refuse(f"{label}: {answer} is no answer; the answers are {_AUTO}, yes and no.")
        problems = missing.get(label, [])
        if answer == "yes" or (answer == _AUTO and not problems):
            sentences.append(f"Taken: {label}, {'as asked for' if answer == 'yes' else 'since it can run here'}.")
            continue
        why = " ".join(problems) if answer == _AUTO else left.get(answer, "As asked for.")
        left[run["object.id"]] = why
        sentences.append(f"Left out: {label}. {why}")
        missing.pop(label, None)
        runs.remove(run)
    return sentences


def _cannotRefine(plugin: Any, processes: int) -> List[str]:
    """Why RELION's refinement, which needs several processes, cannot start on this machine; empty if it can."""
    program = plugin.getHome("bin", _REFINING)
    if not os.access(program, os.X_OK):
        return [f"There is no program {program}."]
    if pw.Config.SCIPION_USE_QUEUE:  # it starts on another machine
        return []
    host, environment = next(iter(HostConfig.load(pw.Config.SCIPION_HOSTS).values())), plugin.getEnviron()
    command = environment.get(_PARALLEL, host.mpiCommand.get()) % dict(JOB_NODES=processes, COMMAND="true")
    tried = subprocess.run(command, shell=True, env=environment, stderr=subprocess.PIPE, text=True)
    if not tried.returncode:
        return []
    words = " ".join(tried.stderr.strip("-\n ").split("\n\n")[0].split())
    return [f"`{command}` failed: {words} Change PARALLEL_COMMAND in {pw.Config.SCIPION_HOSTS}."]


def missingPrograms(runs: List[Dict[str, Any]]) -> Dict[str, List[str]]:
    """{label of a run: sentences} about what the runs of a workflow need and this machine does not have."""
    known, missing = pw.Config.getDomain().getProtocols(), {}
    for run in runs:
        name = run["object.className"]
        problems = [f"No installed plugin has the protocol {name}."]
        if name == _CTF_BY[_CTFFIND]:
            problems = _missingCtffind(runs)
        elif name in known:
            plugin = known[name].getClassPackage().Plugin
            problems = known[name].validateInstallation()
            if not problems and known[name].isDisabled():
                problems = [f"Its plugin disables it for what is in {plugin.getHome()}."]
            elif not problems and name == _REFINE:
                problems = _cannotRefine(plugin, run["numberOfMpi"])
        missing[run.get("object.label") or name] = problems
    return {label: problems for label, problems in missing.items() if problems}


def _missingCtffind(runs: List[Dict[str, Any]]) -> List[str]:
    """Why CTFFIND cannot work on the micrographs that a workflow imports; empty if it can."""
    protocol = pw.Config.getDomain().getProtocols().get(_CTF_BY[_CTFFIND])
    if protocol is None:
        return ["The plugin scipion-em-cistem, which runs it, is not installed."]
    problems, program = protocol.validateInstallation(), protocol.getClassPackage().Plugin.getProgram("ctffind")
    if not problems and not os.access(program, os.X_OK):
        problems = [f"There is no program {program}."]
    patterns = [run["filesPattern"] for run in runs if run["object.className"] == "ProtImportMicrographs"]
    if not all(pattern.endswith(".mrc") for pattern in patterns) and importlib.util.find_spec("xmippLib") is None:
        # its protocol makes MRC files of others by Xmipp, and goes on without a word where that is missing
        problems = problems + [f"Its protocol reads only MRC files without Xmipp, and the pattern is {patterns[0]}."]
    return problems


def _listed(missing: Dict[str, List[str]]) -> str:
    return "\n".join(f"  {label}: {' '.join(problems)}" for label, problems in missing.items())
