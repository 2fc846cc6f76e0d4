# SPDX-License-Identifier: GPL-3.0-or-later
"""Keep the 2-D classes whose averages are good."""

import json
from typing import Any, Dict, List, Optional, Sequence

from pwem.objects import SetOfClasses2D
from pwem.protocols import EMProtocol
from pyworkflow.protocol import Form, params
from pyworkflow.utils import getListFromRangeString

from ...convert.form import addConfigParams, readConfig
from ...convert.particles.classes2d import classRows, keepClasses, signalCut
from ...engine.cryodl import contract
from .. import inputs, kinds, protocol_base


class CryodlProtSelectClasses(inputs.WithoutEngine, inputs.PluginProtocol, EMProtocol):
    """Keep the good 2-D classes and their particles.

    In: classes of *cryodl - classify particles in 2d*. Out: the particles of the kept classes, without those that may
    show only noise; these classes; and all other particles. Without a threshold a class is left out only if it would
    take more from a map than it gives. The wizard shows which averages a threshold keeps; a click there keeps or
    rejects one. It takes seconds."""

    _label = "select 2d classes"
    _possibleOutputs = protocol_base.possibleOutputs(contract.SelectClassesConfig)

    def _defineParams(self, form: Form) -> None:
        form.addSection("Input")
        help = "Classes of *cryodl - classify particles in 2d*, which have scores."
        kinds.Pointing("inputClasses", help, label="Input classes", pointerClass="SetOfClasses2D").addTo(form, self)
        addConfigParams(form, contract.SelectClassesConfig, ["threshold"])
        form.addParam(
            "chosen",
            params.StringParam,
            default="",
            allowsNull=True,
            validators=[
                params.Format(getListFromRangeString, "*Classes to keep* is no list of numbers such as 1,4-8.")
            ],
            label="Classes to keep",
            help="Numbers of classes, such as 1,4-8, as clicks on the averages in the wizard or in the window of the "
            "classes choose them; threshold and numbers of particles do not count then. When the particles are "
            "classified again, the numbers mean other classes.\n\nEmpty: chosen by score.",
        )
        addConfigParams(form, contract.SelectClassesConfig, ["good_lost", "minimum_particles"])

    def _insertAllSteps(self) -> None:
        self._insertFunctionStep(self.createOutputStep, self._settings(), needsGPU=False)

    def _settings(self) -> Dict[str, Any]:
        classes, fields = self.inputClasses.get(), ("threshold", "minimumParticles", "goodLost", "chosen")
        return dict(
            {name: getattr(self, name).get() for name in fields},
            classes=classes.getFileName(),
            sizes=[row[3] for row in classRows(classes)],  # they may have got further particles since
            **{inputs.WRITTEN: inputs.writtenAt(classes, (self._settingsBefore() or {}).get(inputs.WRITTEN))},
        )

    def _warnings(self) -> List[str]:
        before: Any = self._settingsBefore() if self.chosen.get() and self.inputClasses.get() is not None else None
        if not before:
            return []
        now = json.loads(json.dumps(self._settings()))
        less = any(then > size for then, size in zip(before.get("sizes", ()), now["sizes"]))  # they have not only grown
        ticked = lambda settings: settings.get(inputs.WRITTEN, now[inputs.WRITTEN])[:2]  # whatever is
        made = less or before.get("classes", now["classes"]) != now["classes"] or ticked(before) != ticked(now)
        return kinds.sayIf(
            made and before["chosen"] == now["chosen"],
            "The classes were made anew since this run kept those of these numbers, which may now be others. Look at "
            "them with the wizard beside *Classes to keep*, and choose anew.",
        )

    def createOutputStep(self, settings: Dict[str, Any]) -> None:
        source = self.inputClasses.get()
        ids = self._kept(classRows(source), self.threshold.get(), self.minimumParticles.get())
        particles, rejected = self._createSetOfParticles(), self._createSetOfParticles("rejected")
        classes = self._createSetOfClasses2D(source.getImagesPointer())
        for one in (particles, rejected):
            one.copyInfo(source.getImages())
            one.setAlignment2D()
        keepClasses(classes, particles, rejected, source, set(ids), signalCut(source, set(ids), self.goodLost.get())[0])
        outputs = dict(outputParticles=particles, outputClasses=classes)
        if rejected.getSize():
            outputs["outputRejected"] = rejected
        self._defineOutputs(**outputs)
        for output in outputs.values():
            self._defineSourceRelation(self.inputClasses, output)

    def _kept(self, rows: Sequence[Sequence[Any]], threshold: Any, minimum: Optional[int]) -> List[int]:
        """Ids of the classes of classRows that are kept. Raises ValueError if there are none."""
        if self.chosen.get():
            asked, there = set(getListFromRangeString(self.chosen.get())), {row[0] for row in rows if row[3]}
            if asked - there or not asked:
                strange = ", ".join(str(number) for number in sorted(asked - there)) or "no class"
                raise ValueError(f"*Classes to keep* names {strange}; the classes with particles are {sorted(there)}.")
            return sorted(asked)
        if any(row[4] is None for row in rows):
            raise ValueError(
                "The classes have no scores. Choose classes of *cryodl - classify particles in 2d*, or name the "
                "*Classes to keep*."
            )
        numbers, _, _, counts, scores = zip(*rows)
        ids, used = contract.chosen_classes(numbers, scores, counts, threshold, minimum)
        if not ids:
            raise ValueError(
                f"No class has a score of {used:g} and enough particles (Minimum number of particles); the "
                f"best score is {max(row[4] for row in rows):.2f}. Choose a lower threshold, or check whether the "
                "picks are particles."
            )
        return ids

    def _validate(self) -> List[str]:
        classes = self.inputClasses.get()
        if classes is None:
            return []  # pyworkflow names it
        config = readConfig(self, contract.SelectClassesConfig, classes="-", output="-", particles=None)
        rows = classRows(classes) if classes.getSize() else []
        wrong = (
            contract.check(config)
            or kinds.sayIf(not rows, "The set of classes is empty. Choose another.")
            or kinds.sayIf(
                self.chosen.get() and classes.isStreamOpen(),
                "The classes may still get other numbers, as particles are arriving. Leave *Classes to keep* empty, or "
                "wait until they are complete.",
            )
        )
        try:
            _ = wrong or self._kept(rows, config.threshold, config.minimum_particles)
        except ValueError as error:
            return [str(error)]
        return wrong

    def _summary(self) -> List[str]:
        output = getattr(self, "outputClasses", None)
        if output is None:
            return ["No classes yet."]
        rows = classRows(self.inputClasses.get()) if self.inputClasses.get() is not None else []
        score = {row[0]: row[4] for row in classRows(output)}
        count = sum(row[3] for row in classRows(output))  # of the particles, whose set may be lost
        kept, known = [row for row in rows if row[0] in score], None not in score.values()
        of_kept = sum(row[3] for row in kept)
        expected = min(1.0, sum(row[3] * row[4] for row in kept) / max(1, count)) if known else None
        noise, lost = max(0, of_kept - count), max(0, sum(row[3] for row in rows) - of_kept)
        more = f", and {contract.counted(noise, 'particle')} of kept classes that may show only noise" if noise else ""
        return [
            f"*{contract.counted(count, 'particle')}* in {contract.counted(output.getSize(), 'class', 'classes')} "
            f"{self._choice(output)}"
            + ("." if expected is None else f"; {100 * expected:.0f} % of them are expected to be good."),
            f"Left out: {contract.counted(max(0, len(rows) - output.getSize()), 'class', 'classes')} with "
            f"{contract.counted(lost, 'particle')}{more}.",
        ] + contract.class_choice_warnings(1.0 if expected is None else expected)

    def _choice(self, output: SetOfClasses2D) -> str:
        asked = self.threshold.get()
        return (
            "chosen one by one"
            if self.chosen.get()
            else f"with a score of at least {min(row[4] for row in classRows(output)) if asked is None else asked:.2f}"
        )

    def _methods(self) -> List[str]:
        output = getattr(self, "outputClasses", None)
        if output is None:
            return []
        count = sum(row[3] for row in classRows(output))
        return [f"The {count} particles of {output.getSize()} 2-D classes {self._choice(output)} were kept."]
