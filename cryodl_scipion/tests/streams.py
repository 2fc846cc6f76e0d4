# SPDX-License-Identifier: GPL-3.0-or-later
"""Imports that go on while a test works, and runs that are waited for."""

import os
import time
from unittest import mock

from pwem.protocols import ProtImportMicrographs
from pyworkflow.utils import process

from ..protocols import check_project
from ..protocols.inputs import KeepsOutputs
from . import synthetic
from .processes import killTree


def startImport(test, folder, pixelSize=synthetic.PIXEL_SIZE):
    """A running import of a folder's micrographs that has its first ones. test: CryodlTest."""
    os.environ["SCIPION_EM_NEW_FILE_CHECK_SEC"] = "1"  # 10 s otherwise
    try:
        imported = test.newProtocol(
            ProtImportMicrographs,
            filesPath=folder,
            filesPattern="*.mrc",
            dataStreaming=True,
            timeout="900",
            fileTimeout="1",
            samplingRate=pixelSize,
            voltage=300,
            sphericalAberration=2.7,
            amplitudeContrast=0.1,
            magnification=50000,
        )
        test.proj.launchProtocol(imported, wait=False)
    finally:
        del os.environ["SCIPION_EM_NEW_FILE_CHECK_SEC"]
    test._waitOutput(imported, "outputMicrographs", sleepTime=0.1, timeOut=300)
    return imported


def updateRun(project, protocol):
    """Read what a run has come to. Other plugins' runs lose what they make in their last second: one that counts as
    failed though it finished is mended as a user does it, by `cryodl check-project --mend`; never one of ours."""
    project._updateProtocol(protocol)
    if not isinstance(protocol, KeepsOutputs) and protocol.isFailed():
        found = check_project.findingOf(protocol)
        if found is not None and found.kind == check_project.FALSE_FAILURE:
            check_project.mend(project, found)


def waitFor(test, protocol, condition, seconds=300):
    """Until a running protocol has come so far; the test fails if it does not."""
    for beat in range(10 * seconds):
        time.sleep(0.1)
        if beat % 50 == 49:  # pyworkflow never reads what is written while it reads: benchmarks/pyworkflow_race.md
            protocol.lastUpdateTimeStamp.set(None)
        updateRun(test.proj, protocol)
        if condition():
            return
    test.fail(f"The run did not come so far in {seconds} s: {protocol.getErrorMessage()}")


def stopRun(project, protocol):
    """As Stop in the window does. pyworkflow ends the processes of a run one by one, and gives up, the run still at
    work, where one ends of itself meanwhile; here all end at once."""
    with mock.patch.object(process, "killWithChilds", killTree):
        project.stopProtocol(protocol)


def endImport(test, imported, count):
    """Let an import end once it has so many micrographs: on a busy machine it would end without those just moved."""
    waitFor(test, imported, lambda: imported.outputMicrographs.getSize() >= count)
    open(imported._getStopStreamingFilename(), "w").close()
