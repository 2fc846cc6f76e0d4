# SPDX-License-Identifier: GPL-3.0-or-later
"""No run ends without its outputs.

pyworkflow (3.11.7, project.py) loses them in the last second of a run, see benchmarks/pyworkflow_race.md:

1. A project's refresh reads run.db while the run works, then looks for its process. If the run ends in between, it
   counts as failed, though run.db says that it finished.
2. *Continue* copies the project's database, which never heard of the outputs, over run.db, and the run finds that all
   its steps are done: "finished", without outputs. What waits for them waits for ever.
3. Outputs are committed after the step that made them is noted as done: a kill in between leaves the same.
"""

import os
from typing import TYPE_CHECKING, Any, List

from pyworkflow.object import Object
from pyworkflow.protocol import MODE_RESTART, STATUS_NEW, getProtocolFromDb

from ..convert.growing import UNDER_WAY

if TYPE_CHECKING:
    from pwem.protocols import EMProtocol as ProtocolMixin
else:
    ProtocolMixin = object  # a mixin stands before the Scipion class, which it must not inherit from

WITHOUT_OUTPUTS = (
    "*Finished without its outputs*, which were lost when the run ended. Choose Continue: they are made again from "
    "the files in the run's folder."
)


class KeepsOutputs(ProtocolMixin):
    """Mixin of all protocols of the plugin; it stands before the Scipion class in the list of bases."""

    _readsAgain = False

    def hasLostOutputs(self) -> bool:
        """Whether the run finished and has none of the outputs that it declares."""
        return self.isFinished() and self._hasNoOutput()

    def _hasNoOutput(self) -> bool:
        return bool(self.getPossibleOutputs()) and not any(True for _ in self.iterOutputAttributes())

    def checkSummaryWarnings(self) -> None:
        """Called whenever a project is read, before its runs are brought up to date."""
        super().checkSummaryWarnings()
        if self.isInteractive() and self.getStatus() in UNDER_WAY:
            self.lastUpdateTimeStamp.set(None)  # its process is never looked for, so its last words are read again
        if self.hasLostOutputs():
            self.addSummaryWarning(WITHOUT_OUTPUTS)

    # ----- 1: a process that is gone has written its last word
    def setFailed(self, msg: str) -> None:
        """Note a failure. Another process that misses the one of this run reads run.db again before it believes so."""
        if self._stepsExecutor is None and self._isWatched() and self.isActive() and not self._readsAgain:
            self._readsAgain = True
            try:
                self.lastUpdateTimeStamp.set(None)
                self.getProject()._updateProtocol(self)  # comes here again if the run has died
            finally:
                self._readsAgain = False
            if self._isWatched() or self.getStatus() not in UNDER_WAY:
                return
        super().setFailed(msg)

    def _isWatched(self) -> bool:
        """Whether there is a process or a job by which pyworkflow sees whether the run works."""
        return self.getProject() is not None and bool(self.getPid() or len(self.getJobIds()))

    # ----- 2: what run.db knows is not overwritten, and what is lost already is made again
    def makePathsAndClean(self) -> None:
        """Called when the run is started or scheduled, before the project's database is copied over run.db."""
        if self.getRunMode() != MODE_RESTART:
            self._takeOutputs()
        super().makePathsAndClean()

    def _takeOutputs(self) -> None:
        """Outputs of run.db, with what they were made of, that the project has not."""
        if not os.path.exists(self.getDbPath()):
            return
        try:
            ended = getProtocolFromDb(self.getProject().path, self.getDbPath(), self.getObjId())
        except Exception as error:  # a damaged one is overwritten as always; pyworkflow raises nothing more exact
            self.warning(f"{self.getDbPath()} cannot be read ({error}); outputs that only it knows are made again.")
            return
        lost = [name for name, _ in ended.iterOutputAttributes() if not self.hasAttribute(name)]
        if lost:
            label, comment = self.getObjLabel(), self.getObjComment()
            others = [name for name, _ in ended.getAttributes() if name not in lost]
            copies = Object.copy(self, ended, copyId=False, ignoreAttrs=others)
            self.setObjLabel(label)
            self.setObjComment(comment)
            self._outputs.extend(lost)
            self._useOutputList.set(True)
            self._store()
            for relation in ended.getRelations():
                if relation["object_child_id"] in copies:
                    self._copyRelation(relation, copies[relation["object_child_id"]])
        ended.getProject().closeMapper()
        ended.closeMappers()

    def _copyRelation(self, relation: Any, child: Object) -> None:
        names = ("object_parent_extended", "object_child_extended")
        parent = relation["object_parent_id"]
        extended = [relation[name] for name in names]
        self.mapper.insertRelationData(relation["name"], self.getObjId(), parent, child.getObjId(), *extended)

    def _runSteps(self, doneSteps: int) -> None:
        """Run what is not done; the step that registers the outputs also when these were lost."""
        for step in self._stepsOfLostOutputs():
            self.info("Done before, but the outputs are missing: this step is done again.")
            step.setStatus(STATUS_NEW)
            step.setPrerequisites()  # they are done; what pyworkflow has read of them are no numbers
            doneSteps -= 1
        super()._runSteps(doneSteps)

    def _stepsOfLostOutputs(self) -> List[Any]:
        if not self._hasNoOutput():
            return []
        done = [step for step in self._steps if step.isFinished()]
        named = [step for step in done if step.funcName == "createOutputStep"]
        return named or (done[-1:] if len(done) == len(self._steps) else [])

    # ----- 3: first the outputs, then that they were made
    def _stepFinished(self, step: Any) -> bool:
        with self._lock:
            self.mapper.commit()
        return super()._stepFinished(step)
