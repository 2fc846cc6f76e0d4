# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine's command line without Scipion: finds the engine's environment and starts the command in it."""

import importlib.util
import os
import sys
import typing

from . import environment
from .environment import CRYODL_HOME, CRYODL_PYTHON, ENV_VERSION

CHECK_PROJECT = "check-project"


def homes(variables: typing.Mapping[str, str]) -> typing.List[str]:
    """Folders that may hold the engine's environment; the first that exists is taken. variables: of the environment.
    CRYODL_HOME alone counts if it is set."""
    if variables.get(CRYODL_HOME):
        return [os.path.expanduser(variables[CRYODL_HOME])]
    top, scipion = os.path.dirname(environment.PACKAGE), variables.get("SCIPION_HOME")
    software = variables.get("SCIPION_SOFTWARE")
    ems = [
        variables.get("EM_ROOT"),
        software and os.path.join(software, "em"),
        scipion and os.path.join(scipion, "software", "em"),
        os.path.join(os.path.dirname(sys.prefix), "software", "em"),  # of a Scipion whose Python lies in its folder
        os.path.join(top, ".cryodl", "home", "software", "em"),  # of a checkout: scripts/demo and scripts/test make it
    ]
    return [os.path.join(em, "cryodl-" + ENV_VERSION) for em in ems if em]


def find_python(variables: typing.Mapping[str, str]) -> typing.Tuple[str, typing.List[str]]:
    """The engine's Python, and sentences about what hinders it from running (none: it is fit). variables: of the
    environment: CRYODL_PYTHON, else CRYODL_HOME, else Scipion's folder for software."""
    own = variables.get(CRYODL_PYTHON, "")
    if own:
        return own, environment.environmentProblems("", own)
    candidates = homes(variables)
    home = next((h for h in candidates if os.path.lexists(environment.pythonOf(h))), None)
    if home is not None:
        return environment.pythonOf(home), environment.environmentProblems(home, "")
    return "", [
        f"There is no environment of the engine that you can read; looked for {os.path.join('env', 'bin', 'python')} "
        f"in {', '.join(dict.fromkeys(candidates))}. Run `scipion installb cryodl`, or without Scipion: bash "
        f"'{environment.installFile('install_env.sh')}' FOLDER, then set {CRYODL_HOME}=FOLDER; or set "
        f"{CRYODL_PYTHON} to a Python with the packages of requirements.lock."
    ]


def main(arguments: typing.List[str]) -> int:
    """Replace this process by the engine's command. Returns 1, after a sentence, if the engine cannot be started."""
    if arguments[:1] == [CHECK_PROJECT]:  # of Scipion's side
        check = ["python", "-m", "cryodl_scipion.protocols.check_project"] + arguments[1:]
        if importlib.util.find_spec("scipion") is None:
            print(
                f"cryodl: {CHECK_PROJECT} runs in Scipion's Python; {sys.executable} has no Scipion.", file=sys.stderr
            )
            return 1
        os.execv(sys.executable, [sys.executable, "-m", "scipion"] + check)
    python, problems = find_python(os.environ)
    # doctor itself says what is missing in a Python that is one; nothing can be said by one that is none
    if problems and not (arguments[:1] == ["doctor"] and python and environment.askPython(python, ())):
        for problem in problems:
            print("cryodl: " + problem, file=sys.stderr)
        return 1
    variables = {k: v for k, v in os.environ.items() if k not in ("PYTHONHOME", "VIRTUAL_ENV")}
    variables.update(PYTHONPATH=environment.engineFolder(), PYTHONNOUSERSITE="1")
    sys.stdout.flush()
    os.execve(python, [python, "-m", "cryodl"] + arguments, variables)
