# SPDX-License-Identifier: GPL-3.0-or-later
"""The workflow templates: found by Scipion, filled, and loaded into a project with their links."""

import contextlib
import glob
import io
import os
import re
import sys
import tkinter.messagebox
from pathlib import Path
from unittest import mock

import mrcfile
import numpy as np
from pwem import Domain
from pyworkflow.object import Pointer, PointerList
from pyworkflow.project import Manager
from pyworkflow.template import TemplateList

from . import synthetic
from .base import CryodlTest
from .map_sets import writeModelOf
from .particle_sets import writeMap
from .processes import runToEnd
from .programs import writeProgram
from .test_tree import FOLDER

# alias: (value, class, field, what the field then holds); without a field the answer decides the class
IMPORT = {
    "pattern": ("mic*.mrc", "ProtImportMicrographs", "filesPattern", "mic*.mrc"),
    "voltage": ("200", "ProtImportMicrographs", "voltage", 200),
    "cs": ("2.0", "ProtImportMicrographs", "sphericalAberration", 2.0),
    "contrast": ("0.07", "ProtImportMicrographs", "amplitudeContrast", 0.07),
    "pixel": ("1.5", "ProtImportMicrographs", "samplingRate", 1.5),
    "ctf": ("cryodl", "CryodlProtEstimateCTF", None, None),
}
EXTRACT = {"box": ("180", "ProtRelionExtractParticles", "boxSize", 180)}
MICROGRAPHS = {"inputMicrographs": "ProtImportMicrographs.outputMicrographs"}
WITH_CTF = {"inputMicrographs": "CryodlProtEstimateCTF.outputMicrographs"}
MAP, MODEL = "ProtImportVolumes.outputVolume", "CryodlProtTrainDenoiser.outputModel"
LEARN, TEST = "ProtSplitSet.outputParticles01", "ProtSplitSet.outputParticles02"
HALVES = "CryodlProtSimulate."
SIMULATED = "CryodlProtSimulateTomograms.output"
LABELLED = {"inputTomograms": "ProtSplitSet.outputTomograms01", "inputMasks": "ProtSplitSet 2.outputTomoMasks01"}
OTHERS = "ProtSplitSet.outputTomograms02"
# name: (answers, {run: {pointer: run.output, or a list}}); runs without pointers are imports. A run is called by its
# class; the second run of a class is 'class 2'.
TEMPLATES = {
    "cryodl-picking": (
        dict(
            IMPORT,
            model=("general", "CryodlProtPick", "shippedModel", "general"),
            diameter=("160", "CryodlProtPick", "particleDiameter", 160),
            mask=("190", "ProtRelionClassify2D", "maskDiameterA", 190),
            classes=("7", "ProtRelionClassify2D", "numberOfClasses", 7),
            gpu=("true", "ProtRelionClassify2D", "doGpu", True),
            **EXTRACT,
        ),
        {
            "CryodlProtEstimateCTF": MICROGRAPHS,
            "CryodlProtPick": WITH_CTF,
            "ProtRelionExtractParticles": {
                "inputCoordinates": "CryodlProtPick.outputCoordinates",
                "ctfRelations": "CryodlProtEstimateCTF.outputCTF",
            },
            "ProtRelionClassify2D": {"inputParticles": "ProtRelionExtractParticles.outputParticles"},
        },
    ),
    "cryodl-movies": (
        dict(
            {
                alias: (value, kind.replace("Micrographs", "Movies"), *rest)
                for alias, (value, kind, *rest) in IMPORT.items()
            },
            dose=("1.5", "ProtImportMovies", "dosePerFrame", 1.5),
            gain=("none", "ProtImportMovies", "gainFile", None),
            patchx=("3", "ProtRelionMotioncor", "patchX", 3),
            patchy=("2", "ProtRelionMotioncor", "patchY", 2),
            bfactor=("9", "ProtRelionMotioncor", "bfactor", 9),
            model=("general", "CryodlProtPick", "shippedModel", "general"),
            diameter=("160", "CryodlProtPick", "particleDiameter", 160),
            mask=("0", "ProtRelionClassify2D", "maskDiameterA", 192),
            classes=("7", "ProtRelionClassify2D", "numberOfClasses", 7),
            gpu=("true", "ProtRelionClassify2D", "doGpu", True),
            box=("0", "ProtRelionExtractParticles", "boxSize", 160),  # 1.5 diameters
        ),
        {
            "ProtRelionMotioncor": {"inputMovies": "ProtImportMovies.outputMovies"},
            "CryodlProtEstimateCTF": {
                "inputMicrographs": "ProtRelionMotioncor.outputMicrographs",
                "micrographsToPick": "ProtRelionMotioncor.outputMicrographsDoseWeighted",
            },
            "CryodlProtPick": WITH_CTF,
            "ProtRelionExtractParticles": {
                "inputCoordinates": "CryodlProtPick.outputCoordinates",
                "ctfRelations": "CryodlProtEstimateCTF.outputCTF",
            },
            "ProtRelionClassify2D": {"inputParticles": "ProtRelionExtractParticles.outputParticles"},
        },
    ),
    "cryodl-autopicking": (
        dict(
            IMPORT,
            model=("general", "CryodlProtPick", "shippedModel", "general"),
            diameter=("160", "CryodlProtPick", "particleDiameter", 160),
            rounds=("2", "CryodlProtPick", "rounds", 2),
            **EXTRACT,
        ),
        {
            "CryodlProtEstimateCTF": MICROGRAPHS,
            "CryodlProtPick": WITH_CTF,
            "ProtRelionExtractParticles": {
                "inputCoordinates": "CryodlProtPick.outputCoordinates",
                "ctfRelations": "CryodlProtEstimateCTF.outputCTF",
            },
        },
    ),
    "cryodl-unattended": (
        dict(
            IMPORT,
            timeout=("900", "ProtImportMicrographs", "timeout", "900"),
            settled=("5", "ProtImportMicrographs", "fileTimeout", "5"),
            mappixel=("2.5", "ProtImportVolumes", "samplingRate", 2.5),
            model=("ribosome", "CryodlProtPick", "shippedModel", "ribosome"),
            diameter=("160", "CryodlProtPick", "particleDiameter", 160),
            box=("180", "CryodlProtExtractParticles", "box", 180),
            scaledbox=("90", "CryodlProtExtractParticles", "scaledBox", 90),
            classes=("7", "CryodlProtClassify2D", "classes", 7),
            symmetry=("D2", "CryodlProtAssignOrientations", "symmetry", "D2"),
            mapsymmetry=("D2", "CryodlProtBackProject", "symmetry", "D2"),
            initial=("cryodl", None, None, None),
            refine=("yes", "ProtRelionRefine3D", "symmetryGroup", "D2"),
            gpu=("true", "ProtRelionRefine3D", "doGpu", True),
        ),
        {
            "CryodlProtEstimateCTF": MICROGRAPHS,
            "CryodlProtPick": WITH_CTF,
            "CryodlProtExtractParticles": {
                "inputCoordinates": "CryodlProtPick.outputCoordinates",
                "inputCTF": "CryodlProtEstimateCTF.outputCTF",
            },
            "CryodlProtClassify2D": {"inputParticles": "CryodlProtExtractParticles.outputParticles"},
            "CryodlProtSelectClasses": {"inputClasses": "CryodlProtClassify2D.outputClasses"},
            "CryodlProtAssignOrientations": {
                "inputParticles": "CryodlProtSelectClasses.outputParticles",
                "inputStructure": MAP,
            },
            "CryodlProtBackProject": {"inputParticles": "CryodlProtAssignOrientations.outputParticles"},
            "ProtRelionRefine3D": {
                "inputParticles": "CryodlProtAssignOrientations.outputParticles",
                "referenceVolume": "CryodlProtBackProject.outputVolume",
            },
            "ProtRelionPostprocess": {
                "protRefine": "ProtRelionRefine3D.",
                "solventMask": "CryodlProtBackProject.outputMask",
            },
            "CryodlProtReport": {},
        },
    ),
    "cryodl-denoising": (
        dict(
            mappixel=("2.5", "ProtImportVolumes", "samplingRate", 2.5),
            pixel=("4.5", "CryodlProtSimulate", "pixelSize", 4.5),
            box=("48", "CryodlProtSimulate", "box", 48),
            count=("90", "CryodlProtSimulate", "particleCount", 90),
            snr=("0.1", "CryodlProtSimulate", "snr", 0.1),
            mask=("150", "ProtRelionClassify3D", "maskDiameterA", 150),
            gpu=("true", "ProtRelionClassify3D", "doGpu", True),
        ),
        {
            "CryodlProtSimulate": {"inputStructure": MAP},
            "ProtSplitSet": {"inputSet": "CryodlProtSimulate.outputParticles"},
            "CryodlProtTrainDenoiser": {"inputSets": [LEARN], "inputStructures": [MAP]},
            "CryodlProtDenoise": {"inputParticles": TEST, "inputModel": MODEL},
            "CryodlProtEvaluateDenoiser": {"inputParticles": TEST, "inputModel": MODEL, "inputStructure": MAP},
            "CryodlProtAssignOrientations": {"inputParticles": TEST, "inputModel": MODEL, "inputStructure": MAP},
            "CryodlProtBackProject": {"inputParticles": "CryodlProtAssignOrientations.outputParticles"},
            "ProtRelionClassify3D": {
                "inputParticles": "CryodlProtAssignOrientations.outputParticles",
                "referenceVolume": "CryodlProtBackProject.outputVolume",
            },
        },
    ),
    "cryodl-maps": (
        dict(
            resolution=("3.5", "CryodlProtSimulate", "resolution", 3.5),
            pixel=("1.2", "CryodlProtSimulate", "mapPixelSize", 1.2),
            model=("improver", "CryodlProtImproveMap", "shippedModel", "improver"),
        ),
        {
            "CryodlProtSimulate": {"inputStructure": "ProtImportPdb.outputPdb"},
            "CryodlProtImproveMap": {"inputVolume": HALVES + "outputVolume"},
            "CryodlProtEvaluateMap": {
                "inputVolume": "CryodlProtImproveMap.outputVolume",
                "inputBefore": HALVES + "outputVolume",
                "inputStructure": HALVES + "outputStructure",
            },
        },
    ),
    "cryodl-motion": (
        dict(
            pixel=("4.5", "CryodlProtSimulate", "pixelSize", 4.5),
            box=("48", "CryodlProtSimulate", "box", 48),
            count=("900", "CryodlProtSimulate", "particleCount", 900),
            snr=("0.2", "CryodlProtSimulate", "snr", 0.2),
            domain=("B", "CryodlProtSimulate", "domain", "B"),
            range=("30", "CryodlProtSimulate", "hingeRange", 30.0),
            maps=("4", "CryodlProtFitHeterogeneity 2", "pathMaps", 4),
        ),
        {
            "CryodlProtSimulate": {"inputStructure": "ProtImportPdb.outputPdb"},
            "CryodlProtFitHeterogeneity": {
                "inputParticles": "CryodlProtSimulate.outputParticles",
                "inputVolume": "CryodlProtSimulate.outputVolume",
            },
            "CryodlProtFitHeterogeneity 2": {"inputParticles": "CryodlProtFitHeterogeneity.outputParticles"},
        },
    ),
    "cryodl-tomograms": (
        dict(
            mappixel=("2.5", "ProtImportVolumes", "samplingRate", 2.5),
            otherpixel=("3.5", "ProtImportVolumes 2", "samplingRate", 3.5),
            copies=("20", "CryodlProtSimulateTomograms", "copies", "20"),
            pixel=("14", "CryodlProtSimulateTomograms", "pixelSize", 14.0),
            size=("200", "CryodlProtSimulateTomograms", "size", 200),
            box=("40", "CryodlProtPickFeatures", "boxSize", 40),
            subpixel=("8", "CryodlProtSimulateTomograms 2", "subtomogramPixelSize", 8.0),
            subbox=("48", "CryodlProtSimulateTomograms 2", "box", 48),
            count=("70", "CryodlProtSimulateTomograms 2", "subtomogramCount", 70),
            snr=("0.2", "CryodlProtSimulateTomograms 2", "subtomogramSnr", 0.2),
        ),
        {
            "CryodlProtSimulateTomograms": {"inputStructures": [MAP]},
            "ProtSplitSet": {"inputSet": SIMULATED + "Tomograms"},
            "ProtSplitSet 2": {"inputSet": SIMULATED + "Labels"},
            "CryodlProtTrainTomograms": LABELLED,
            "CryodlProtTrainTomograms 2": LABELLED,
            "CryodlProtSegment": {
                "inputTomograms": OTHERS,
                "inputModels": ["CryodlProtTrainTomograms.outputModel", "CryodlProtTrainTomograms 2.outputModel"],
            },
            "CryodlProtMergeFeatures": {
                "inputScores": ["CryodlProtSegment.scores_particle", "CryodlProtSegment.scores_membrane"]
            },
            "CryodlProtPickFeatures": {"inputMasks": "CryodlProtMergeFeatures.outputLabels", "inputTomograms": OTHERS},
            "CryodlProtMergeFeatures 2": {
                "inputMasks": "CryodlProtMergeFeatures.outputLabels",
                "inputTruth": "ProtSplitSet 2.outputTomoMasks02",
            },
            "CryodlProtSimulateTomograms 2": {"inputStructures": [MAP, "ProtImportVolumes 2.outputVolume"]},
            "ProtSplitSet 3": {"inputSet": "CryodlProtSimulateTomograms 2.outputSubtomograms"},
            "CryodlProtTrainTomograms 3": {"inputSubtomograms": "ProtSplitSet 3.outputSubTomograms01"},
            "CryodlProtClassifySubtomograms": {
                "inputSubtomograms": "ProtSplitSet 3.outputSubTomograms02",
                "inputModel": "CryodlProtTrainTomograms 3.outputModel",
            },
            "ProtSetFilter": {"inputSet": "CryodlProtSimulateTomograms 2.outputSubtomograms"},
            "ProtRelionSubTomoReconstructAvg": {"inputSubtomos": "ProtSetFilter.outputSubtomograms"},
        },
    ),
}


class TestCryodlTemplate(CryodlTest):
    def imported(self, name):
        """{alias: path} of the files or folders that a template asks for, one for each import."""
        maps = {"cryodl-denoising": ["map"], "cryodl-tomograms": ["map", "othermap"], "cryodl-unattended": ["map"]}.get(
            name, []
        )
        if name in ("cryodl-maps", "cryodl-motion"):
            return {"structure": writeModelOf(os.path.join(self.data, "model.pdb"), (0, 0, 0))}
        if name == "cryodl-movies":
            return {"movies": os.path.dirname(synthetic.writeMicrographs(self.data + "/movies", 1)[0])}
        paths = {alias: writeMap(os.path.join(self.data, alias + ".mrc")) for alias in maps}
        if not maps or name == "cryodl-unattended":
            paths["mics"] = os.path.dirname(synthetic.writeMicrographs(self.data + "/mics", 1)[0])
        return paths

    def load(self, name):
        """{name of a run: protocol} of a template, filled and loaded."""
        templates, answers = TemplateList(), TEMPLATES[name][0]
        templates.addPluginTemplates(name)
        (template,) = templates.templates
        template.replaceEnvVariables()
        template.parseContent()
        for alias, path in self.imported(name).items():
            self.assertEqual(template.setParamValue(alias, path), 1, alias)
        for alias, (value, *_) in answers.items():
            self.assertEqual(template.setParamValue(alias, value), 1, alias)
        self.assertEqual(
            {param.getAlias() for param in template.getParams().values()}, set(answers) | set(self.imported(name))
        )
        path = template.createTemplateFile()
        try:
            loaded = self.proj.loadProtocols(path)
        finally:
            os.remove(path)
        self.names, classes = {}, []
        for protocol in loaded.values():
            classes.append(protocol.getClassName())
            number = classes.count(classes[-1])
            self.names[protocol.getObjId()] = classes[-1] + (f" {number}" if number > 1 else "")
        return {self.names[protocol.getObjId()]: protocol for protocol in loaded.values()}

    def wordsOf(self, pointer):
        """'run.output' of a pointer, or a list of them."""
        if isinstance(pointer, PointerList):
            return [self.wordsOf(one) for one in pointer]
        return f"{self.names[pointer.getObjValue().getObjId()]}.{pointer.getExtended()}"

    def test_templates_become_linked_runs_with_the_answers(self):
        for template, (answers, links) in TEMPLATES.items():
            missing = [name for name in links if name.split()[0] not in Domain.getProtocols()]
            if missing:
                self.skipTest(f"The plugins of these protocols are not installed: {', '.join(missing)}")
            runs = self.load(template)
            self.assertEqual(len(set(runs) - set(links)), len(self.imported(template)))
            for value, name, field, wanted in answers.values():
                if field:
                    self.assertEqual(runs[name].getAttributeValue(field), wanted, field)
            for name, pointers in links.items():
                if name not in runs and Domain.getProtocols()[name].validateInstallation():
                    continue  # its program is not here, see test_a_step_of_a_plugin_that_cannot_run_here
                for field, wanted in pointers.items():
                    self.assertEqual(self.wordsOf(getattr(runs[name], field)), wanted, f"{name} {field}")

    def test_without_a_known_structure_the_particles_find_a_first_map(self):
        with mock.patch.object(self, "imported", lambda name: dict(self.__class__.imported(self, name), map="none")):
            runs = self.load("cryodl-unattended")
        links = [("CryodlProtInitialMap", "inputParticles", "CryodlProtSelectClasses.outputParticles")]
        links += [("CryodlProtAssignOrientations", "inputStructure", "CryodlProtInitialMap.outputVolume")]
        for name, field, wanted in links:
            self.assertEqual(self.wordsOf(getattr(runs[name], field)), wanted)
        self.assertNotIn("ProtImportVolumes", runs)
        limit = runs["ProtRelionRefine3D"].initialLowPassFilterA.getPointer()
        self.assertEqual(self.wordsOf(limit), "CryodlProtInitialMap.outputResolution")

    def unattended(self, **answers):
        """What the template says and leaves in the workflow: (words, {name: protocol})."""
        given, links = TEMPLATES["cryodl-unattended"]
        given = dict(given, **{alias: (value, None, None, None) for alias, value in answers.items()})
        without = mock.patch.object(
            self, "imported", lambda name: dict(self.__class__.imported(self, name), map="none")
        )
        with without, mock.patch.dict(TEMPLATES, {"cryodl-unattended": (given, links)}):
            with contextlib.redirect_stdout(io.StringIO()) as said:
                runs = self.load("cryodl-unattended")
        return said.getvalue(), runs

    def test_answers_with_which_a_run_could_only_fail_are_refused_before_a_project_is_made(self):
        for answers, words in (
            (dict(pixel="0"), "import micrographs as they arrive: pixel size, voltage and dose must be above 0."),
            (dict(diameter="800"), "Particles of 800 Å are larger than a micrograph (384 Å)."),  # 256 px of 1.5 Å
            (dict(diameter="5"), "is 5 Å; it must be between 10 and 5000 Å."),
            (dict(classes="0"), "is 0; it must be between 1 and 1000."),
            (dict(symmetry="X2"), "initial orientations: X2 is no point group"),
            (
                dict(model="nosuch"),
                "Shipped model is 'nosuch', which does not exist. Shipped models: general, ribosome",
            ),
        ):
            with self.assertRaises(SystemExit) as refused:
                self.unattended(**answers)
            self.assertIn(words, str(refused.exception))
        said, _ = self.unattended(pattern="*.tif")
        self.assertIn("*.tif yet; the runs wait for one, up to 900 s.", said)
        answers, links = TEMPLATES["cryodl-autopicking"]
        with mock.patch.dict(TEMPLATES, {"cryodl-autopicking": (dict(answers, pattern=("*.tif",)), links)}):
            with self.assertRaisesRegex(SystemExit, r"No project was made. There is no file .*/mics/\*.tif\."):
                self.load("cryodl-autopicking")
        answers, links = TEMPLATES["cryodl-movies"]
        given = dict(answers, pattern=("*.mrc",), diameter=("900",))
        with mock.patch.dict(TEMPLATES, {"cryodl-movies": (given, links)}):
            with self.assertRaisesRegex(SystemExit, r"Particles of 900 Å are larger than a micrograph \(384 Å\)"):
                self.load("cryodl-movies")
        answers, links = TEMPLATES["cryodl-maps"]
        with mock.patch.dict(TEMPLATES, {"cryodl-maps": (dict(answers, model=("general",)), links)}):
            with self.assertRaisesRegex(SystemExit, "Shipped model is 'general', .* Shipped models: improver"):
                self.load("cryodl-maps")

    def test_what_a_window_asked_for_is_refused_in_a_window(self):
        answers, links = TEMPLATES["cryodl-autopicking"]
        wrong = {"cryodl-autopicking": (dict(answers, pattern=("*.tif",)), links)}
        for program, root, count in (("template", None, 0), ("pytest", "root", 0), ("template", "root", 1)):
            with mock.patch.dict(TEMPLATES, wrong), mock.patch.object(sys, "argv", [program]), mock.patch.object(
                tkinter, "_default_root", root
            ), mock.patch.object(tkinter.messagebox, "showerror") as shown, self.assertRaises(SystemExit) as refused:
                self.load("cryodl-autopicking")
            said = [call.args for call in shown.call_args_list]
            self.assertEqual(said, [("Workflow template", str(refused.exception))] * count)

    def test_relion_refines_where_it_can_run_and_the_template_says_why_not(self):
        refine = Domain.getProtocols().get("ProtRelionRefine3D")
        if refine is None:
            self.skipTest("scipion-em-relion is not installed.")
        plugin = refine.getClassPackage().Plugin
        home = Path(self.data, "relion-3.1.3")
        writeProgram(home / "bin" / "relion_refine_mpi", "#!/bin/sh\n")
        none = Path(self.data, "empty", "relion-3.1.3")
        (none / "bin").mkdir(parents=True)
        runs = {"ProtRelionRefine3D", "ProtRelionPostprocess"}
        enough, few = "true %(JOB_NODES)d %(COMMAND)s", "echo 'not enough slots' >&2; false"
        for folder, mpi, answer, taken, words in (
            (home, enough, "auto", True, "Taken: refine by RELION, since it can run here."),
            (home, few, "auto", False, "Left out: refine by RELION. `echo 'not enough slots' >&2; false` failed: not"),
            (none, enough, "auto", False, f"There is no program {none}/bin/relion_refine_mpi."),
            ("/nowhere/relion-3.1", enough, "auto", False, "Left out: refine by RELION. Missing paths"),
            (home, enough, "no", False, "Left out: its resolution in a mask, sharpened. As asked for."),
            (
                none,
                enough,
                "yes",
                True,
                f"cannot start on this machine:\n  refine by RELION: There is no program {none}",
            ),
        ):
            relion = {"RELION_HOME": str(folder), "PARALLEL_COMMAND_RELION": mpi}
            with mock.patch.dict(plugin._vars, relion), mock.patch.dict(os.environ, relion):
                said, made = self.unattended(refine=answer)
            self.assertIn(words, said)
            self.assertEqual(runs & set(made), runs if taken else set(), words)
        with self.assertRaisesRegex(SystemExit, "refine by RELION: perhaps is no answer"):
            self.unattended(refine="perhaps")

    def test_relion_s_first_map_is_refused_by_what_was_found(self):
        first = Domain.getProtocols().get("ProtRelionInitialModel")
        if first is None:
            self.skipTest("scipion-em-relion is not installed.")
        plugin = first.getClassPackage().Plugin
        with mock.patch.dict(plugin._vars, RELION_HOME=self.data):
            for disabled, words in (
                (True, f"find a first map: Its plugin disables it for what is in {self.data}."),
                (False, ""),
            ):
                with mock.patch.object(first, "isDisabled", classmethod(lambda cls, found=disabled: found)):
                    said, made = self.unattended(initial="relion")
                self.assertIn(words, said)
                self.assertIn("ProtRelionInitialModel", made)
                self.assertEqual(disabled, "Its plugin disables it" in said)
                orient = made["CryodlProtAssignOrientations"].inputStructure
                self.assertEqual(self.wordsOf(orient), "ProtRelionInitialModel.outputVolume")
                self.assertEqual(made["ProtRelionRefine3D"].initialLowPassFilterA.get(), 60)
        with self.assertRaisesRegex(SystemExit, "First map by eman .initial=eman.: the answers are cryodl and relion"):
            self.unattended(initial="eman")

    def test_a_gain_reference_of_another_size_is_named_before_a_project_is_made(self):
        (movies,) = self.imported("cryodl-movies").values()
        (movie,) = glob.glob(movies + "/*.mrc")
        with mrcfile.open(movie, permissive=True) as mrc:
            high, wide = mrc.data.shape[-2:]
        gain = os.path.join(self.data, "gain.mrc")
        answers, links = TEMPLATES["cryodl-movies"]
        for size, said in (
            ((high, wide), ""),
            ((high, wide + 8), f"{wide + 8} x {high} px"),
            (None, "there is no gain"),
        ):
            if size:
                mrcfile.new(gain, np.ones(size, np.float32), overwrite=True).close()
            else:
                os.remove(gain)
            given = dict(answers, gain=(gain,), pattern=("*.mrc",))
            with mock.patch.dict(TEMPLATES, {"cryodl-movies": (given, links)}):
                if not said:
                    self.assertEqual(self.load("cryodl-movies")["ProtImportMovies"].gainFile.get(), gain)
                    continue
                with self.assertRaises(SystemExit) as refused:
                    self.load("cryodl-movies")
            for word in [gain, said] + [movie, f"{wide} x {high} px"] * bool(size):
                self.assertIn(word, str(refused.exception))

    def test_movies_of_two_sizes_or_a_broken_one_are_named_before_a_project_is_made(self):
        (movies,) = self.imported("cryodl-movies").values()
        (movie,) = glob.glob(movies + "/*.mrc")
        with mrcfile.open(movie, permissive=True) as mrc:
            high, wide = mrc.data.shape[-2:]
        other = os.path.join(movies, "z_other.mrc")
        self.addCleanup(os.remove, other)
        answers, links = TEMPLATES["cryodl-movies"]
        with mock.patch.dict(TEMPLATES, {"cryodl-movies": (dict(answers, pattern=("*.mrc",)), links)}):
            for write, said in (
                (lambda: mrcfile.new(other, np.ones((3, high, wide), np.int16)).close(), []),
                (
                    lambda: mrcfile.new(other, np.ones((3, high, wide + 8), np.int16), overwrite=True).close(),
                    [f"{wide} x {high} px: {movie} (1 in all)", f"{wide + 8} x {high} px: {other} (1 in all)"],
                ),
                (lambda: open(other, "w").close(), [f"{other} cannot be read"]),
            ):
                write()
                if not said:
                    self.load("cryodl-movies")
                    continue
                with self.assertRaises(SystemExit) as refused:
                    self.load("cryodl-movies")
                for word in said:
                    self.assertIn(word, str(refused.exception))

    def test_a_step_of_a_plugin_that_cannot_run_here_is_left_out_and_said(self):
        optional = Domain.getProtocols().get("ProtRelionSubTomoReconstructAvg")
        if optional is None:
            self.skipTest("scipion-em-reliontomo is not installed.")
        for problems, disabled in ((["Missing paths"], False), ([], True)):
            with mock.patch.multiple(
                optional,
                validateInstallation=classmethod(lambda cls, found=problems: found),
                isDisabled=classmethod(lambda cls, found=disabled: found),
            ), contextlib.redirect_stdout(io.StringIO()) as said:
                self.assertNotIn(optional.__name__, self.load("cryodl-tomograms"))
            why = " ".join(problems) or "Its plugin disables it for what is in "
            self.assertIn(f"Left out: their average by RELION. {why}", said.getvalue())

    def test_every_run_waits_for_each_of_its_inputs(self):
        """Scipion's scheduler starts a run when its prerequisites have ended and its form has no fault."""
        for template in TEMPLATES:
            for name, run in self.load(template).items():
                waitsFor = {int(number) for number in run.getPrerequisites()}
                for field, pointer in run.iterInputAttributes():
                    # the scheduler itself waits for the end of a whole run
                    isInput = isinstance(getattr(run, field), (Pointer, PointerList)) and pointer.hasExtended()
                    if isInput and pointer.getObjValue().getObjId() not in waitsFor:
                        self.assertIn(
                            run.getParam(field).label.get(),
                            " ".join(run.validate()),
                            f"{field} of {name} in {template}",
                        )

    def test_no_run_is_scheduled_twice(self):
        """For each run without inputs Scipion schedules all that follows it, in processes of their own."""
        for template in TEMPLATES:
            self.load(template)
            graph = self.proj.getRunsGraph(refresh=True)
            scheduled = [
                number
                for child in graph.getRoot().getChildren()
                if child.run.getObjId() in self.names
                for number in self.proj._getSubworkflow(child.run)[0]
            ]
            self.assertEqual(sorted(scheduled), sorted(self.names), template)

    def test_runs_are_called_as_the_template_says_and_need_one_process_each(self):
        for template in TEMPLATES:
            path = os.path.join(FOLDER, "templates", template.split("-")[1] + ".json.template")
            with open(path, encoding="utf-8") as file:
                labels = re.findall(r'"object.label": "(.*)"', file.read())
            runs = self.load(template).values()
            for run, label in zip(runs, labels):
                if run.getPlugin().getName() == "cryodl":  # protocols of others lose it in pyworkflow
                    self.assertEqual(run.getObjLabel(), label)
            several = {run.getClassName() for run in runs if run.numberOfMpi.get() != 1}
            self.assertLessEqual(several, {"ProtRelionRefine3D"}, template)  # RELION needs three to refine halves

    def test_without_a_window_questions_take_their_defaults_and_no_window_waits(self):
        def parsed(*words):
            templates = TemplateList()
            templates.addPluginTemplates("cryodl-unattended")
            (template,) = templates.templates
            template.replaceEnvVariables()
            with mock.patch.object(sys, "argv", ["template", "cryodl-unattended", *words]):
                template.parseContent()
            return template

        everything = {param.getAlias() for param in parsed().getParams().values()}
        asked = parsed("--noGUI", "mics=/there", "map=m.mrc", "diameter=150")
        self.assertEqual({param.getAlias() for param in asked.getParams().values()}, {"mics", "map", "diameter"})
        self.assertNotIn("~", "".join(asked.getContent()[::2]))
        with self.assertRaises(SystemExit) as refused:
            parsed("--nogui", "map=m.mrc")
        self.assertIn("mics=... (Folder in which the micrographs arrive)", str(refused.exception))
        with self.assertRaisesRegex(SystemExit, "no question foo; its questions: .*mics"):
            parsed("--nogui", "mics=/there", "foo=1", "project_name=p")
        page = os.path.join(os.path.dirname(FOLDER), "docs", "facility.md")
        if os.path.exists(page):  # in a checkout
            with open(page, encoding="utf-8") as file:
                table = set(re.findall(r"^\| `(\w+)` \|", file.read(), re.M))
            self.assertLessEqual(everything, table)

    def test_a_missing_program_is_said_before_a_project_is_made(self):
        answers = [f"{alias}={value}" for alias, (value, *_) in TEMPLATES["cryodl-picking"][0].items()]
        words = [sys.executable, "-m", "scipion", "template", "cryodl-picking", "--nogui"]
        words += ["project_name=cryodl_without_relion", "mics=" + self.imported("cryodl-picking")["mics"], *answers]
        run = runToEnd(words, 120, env=dict(os.environ, RELION_HOME="/nowhere/relion-3.1"))
        self.assertNotEqual(run.returncode, 0)
        for words in ("extract particles: Missing paths", "RELION_HOME: /nowhere/relion-3.1", "2-D classes: "):
            self.assertIn(words, run.stderr)
        self.assertFalse(Manager().hasProject("cryodl_without_relion"))
