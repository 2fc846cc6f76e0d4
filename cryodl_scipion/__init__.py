# SPDX-License-Identifier: GPL-3.0-or-later
"""cryodl: deep learning for cryo-EM inside Scipion. Nothing here imports torch: the engine has its own Python."""

import glob
import os
import shlex
from typing import Any, List, Optional

import pwem
import pyworkflow.utils as pwutils
from pyworkflow import SCIPION_JSON_TEMPLATES, VarTypes

from .engine.cryodl import __version__
from .starting import engine_job, environment
from .starting.environment import CRYODL_HOME, CRYODL_PIP_ARGS, CRYODL_PYTHON, ENV_VERSION

_logo = "icon.png"
_references = ["cryodl"]


class Plugin(pwem.Plugin):
    """Variables, the engine's environment, and the one way to run the engine."""

    _homeVar = CRYODL_HOME
    _pathVars = [CRYODL_HOME]
    _supportedVersions = [ENV_VERSION]
    _url = ""
    _processingField = ["SPA", "TOMO"]

    def getName(self) -> str:
        """The name before the protocols' labels, `cryodl - pick particles`; the package's own name is longer."""
        return "cryodl"

    @classmethod
    def getUrl(cls, protClass: Optional[type] = None) -> str:
        """Address of a protocol's page, which its form shows under Help beside the protocol's docstring. An installed
        wheel holds the site; in a checkout `scripts/docs` (and so the demo) makes it. Empty without it."""
        if protClass is None:
            return cls._url
        page, package = protClass.__module__.rsplit(".", 1)[-1] + ".html", os.path.dirname(cls.getEngineFolder())
        for folder in (os.path.join(package, "docs"), os.path.join(os.path.dirname(package), ".cryodl", "site")):
            if os.path.exists(os.path.join(folder, page)):
                return "file://" + os.path.join(folder, page)
        return ""

    def getTemplates(self) -> List[Any]:
        """The workflow templates; each says at once which of its programs are missing."""
        from .workflow_templates import CryodlTemplate  # pyworkflow.template needs a set-up Config

        return [
            CryodlTemplate(self.getName(), path)
            for path in sorted(
                glob.glob(os.path.join(glob.escape(self.getPluginTemplateDir()), "*" + SCIPION_JSON_TEMPLATES))
            )
        ]

    @classmethod
    def _defineVariables(cls) -> None:
        cls._defineEmVar(
            CRYODL_HOME,
            f"cryodl-{ENV_VERSION}",
            var_type=VarTypes.FOLDER,
            description="Folder of the engine's environment, created by `scipion installb cryodl`.",
        )
        cls._defineVar(
            CRYODL_PYTHON,
            "",
            var_type=VarTypes.PATH,
            description="Python of an existing environment with the packages of requirements.lock (torch and others). "
            "Empty: the Python in CRYODL_HOME.",
        )
        cls._defineVar(
            CRYODL_PIP_ARGS,
            "",
            var_type=VarTypes.STRING,
            description="Further arguments for pip when the environment is created, for instance "
            "--extra-index-url of a CPU build of torch.",
        )

    @classmethod
    def getEngineFolder(cls) -> str:
        return environment.engineFolder()

    @classmethod
    def getPython(cls) -> str:
        return cls.getVar(CRYODL_PYTHON) or environment.pythonOf(cls.getHome())

    @classmethod
    def getEnviron(cls) -> pwutils.Environ:
        """The engine's environment variables: nothing of Scipion's Python may leak into it."""
        environ = pwutils.Environ(os.environ)
        for name in ("PYTHONHOME", "VIRTUAL_ENV"):
            environ.pop(name, None)
        environ["PYTHONPATH"] = cls.getEngineFolder()
        environ["PYTHONNOUSERSITE"] = "1"
        # Block-buffered output would reach the log only at the end.
        environ["PYTHONUNBUFFERED"] = "1"
        return environ

    @classmethod
    def validateInstallation(cls) -> List[str]:
        """Sentences for the form that say what is missing and what to do; empty if all is there."""
        return environment.environmentProblems(cls.getHome(), cls.getVar(CRYODL_PYTHON))

    @classmethod
    def runEngine(cls, protocol: Any, command: str, requestPath: str, resultPath: str, useGpu: bool = False) -> Any:
        """Run one command of the engine as a job of a protocol. command: 'pick', 'train-picker' ...; requestPath: a
        written request.json; resultPath: result.json to come. useGpu: the GPUs that Scipion gives to the step, else the
        CPU. Returns the contract's Result. Raises ValueError for what the user can mend, RuntimeError for the rest."""
        return engine_job.run(protocol, cls.getPython(), cls.getEnviron(), command, requestPath, resultPath, useGpu)

    @classmethod
    def defineBinaries(cls, env: Any) -> None:
        home = cls.getHome()
        command = environment.installCommand(home, cls.getVar(CRYODL_PIP_ARGS), cls.getCondaActivationCmd() or "")
        # With `file:` Scipion links this empty archive instead of downloading one.
        env.addPackage(
            "cryodl",
            version=ENV_VERSION,
            tar="void.tgz",
            commands=[(command, [glob.escape(environment.markerOf(home))])],
            neededProgs=["bash"],
            url="file:" + shlex.quote(environment.installFile("void.tgz")),
            default=True,
        )
