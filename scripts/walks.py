#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Three newcomers' walks with the demo's micrographs, each step as a person does it, with pictures of what is seen.

    xvfb-run -a -s "-screen 0 1600x1200x24" python -m scipion python scripts/walks.py FOLDER [student facility user]

student: the tutorial's commands as they are printed. facility: a template without a window, and a report. user: fills
the form of pick particles from the top, presses Execute, looks at the results and at Help. FOLDER gets the pictures.
Exit code 1 when a step does not do what the pages say. scripts/test --all takes all three.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Callable, List

TOP = Path(__file__).resolve().parent.parent
DEMO = TOP / "data" / "demo"
PAGE = TOP / ".cryodl" / "site" / "tutorial.html"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
_PIXEL_SIZE = "5.36"  # Å/px, data/demo/README.md


def expect(said: bool, what: str) -> None:
    """Ends the walk, naming the step that did not do what the pages say."""
    if not said:
        raise SystemExit(f"walk: {what}")
    print(f"  {what}", flush=True)


def told(command: str, folder: str) -> str:
    """What a command of the shell prints; a command that fails ends the walk."""
    environment = dict(os.environ, PATH=f"{TOP / 'scripts'}{os.pathsep}{os.environ['PATH']}")
    done = subprocess.run(["bash", "-c", command], cwd=folder, env=environment, capture_output=True, text=True)
    expect(done.returncode == 0, f"{command[:110]} ({done.stderr[-600:] if done.returncode else 'done'})")
    return done.stdout


def page(address: str, picture: Path) -> None:
    """A picture of a page of the site or of a report, where Chromium is installed."""
    if CHROMIUM:
        flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
        more = [f"--screenshot={picture}", "--window-size=1280,1400", "--virtual-time-budget=5000", address]
        subprocess.run([CHROMIUM, *flags.split(), *more], stderr=subprocess.DEVNULL, check=True, timeout=120)


def student(folder: Path) -> None:
    """Every command of the tutorial, in its order."""
    text, picks = (TOP / "docs" / "tutorial.md").read_text(encoding="utf-8"), r"(\d+) picks in 3 micrographs"
    with tempfile.TemporaryDirectory() as work:
        for name in ("micrographs", "coordinates"):
            shutil.copytree(DEMO / name, os.path.join(work, name))
        lines = [line for block in re.findall(r"```bash\n(.*?)```", text, re.S) for line in block.splitlines()]
        said = "".join(f"$ {line}\n{told(line, work)}\n" for line in lines)
        (folder / "student.txt").write_text(said, encoding="utf-8")
        found, printed = (int(re.search(picks, one)[1]) for one in (said, text))  # type: ignore[index]
        expect(abs(found - printed) <= 10, f"{found} picks, as the page says ({printed})")
        expect("3 good and 0 bad micrographs" in said, "three good micrographs")
        shutil.copy(os.path.join(work, "picks", "pictures", "065.png"), folder / "student_picks.png")
    if PAGE.exists():
        page(f"file://{PAGE}", folder / "student_page.png")


def facility(folder: Path) -> None:
    """The unattended template without a window, and a report on picks."""
    from pyworkflow.project import Manager

    from cryodl_scipion.tests.particle_sets import writeMap

    name = f"walk_facility_{os.getpid()}"
    with tempfile.TemporaryDirectory() as work:
        session = os.path.join(work, "session")  # the report is named after it
        os.makedirs(session)
        reference = writeMap(os.path.join(work, "map.mrc"))
        answers = f"project_name={name} mics={DEMO}/micrographs map={reference} pixel={_PIXEL_SIZE} diameter=300"
        told(f"'{sys.executable}' -m scipion template cryodl-unattended --nogui --noschedule {answers}", work)
        project = Manager().loadProject(name)
        expect(len(list(project.getRuns())) >= 9, f"{len(list(project.getRuns()))} runs wait in the project")
        os.chdir(TOP)  # loading had gone into the project, whose folder goes now
        Manager().deleteProject(name)
        picking = f"cryodl pick --micrographs '{DEMO}/micrographs/*.mrc' --pixel-size {_PIXEL_SIZE} --model ribosome"
        told(f"{picking} --output picks --pictures 3 --result picks/result.json", session)
        report = folder / "facility_report.html"
        told(f"cryodl report --folder . --output '{report}'", session)
        expect("065" in report.read_text(encoding="utf-8"), "the report shows the micrographs")
        page(f"file://{report}", folder / "facility_report.png")


def user(folder: Path) -> None:
    """Import, fill the form of pick particles from the top, Execute, Analyze results, Help."""
    import pyworkflow as pw

    pw.Config.setDomain("pwem")
    pw.Config.getDomain().getPlugins()
    from pwem.protocols import ProtImportMicrographs
    from pyworkflow.object import Pointer
    from pyworkflow.project import Manager

    from cryodl_scipion import Plugin
    from cryodl_scipion.protocols import CryodlProtPick
    from cryodl_scipion.tests.screens import FormWindow, Screens  # in the order that pyworkflow's windows need

    manager, name = Manager(), f"walk_user_{os.getpid()}"
    project = manager.createProject(name)
    os.chdir(project.path)
    where = dict(filesPath=str(DEMO / "micrographs"), filesPattern="*.mrc", samplingRate=float(_PIXEL_SIZE))
    imported = project.newProtocol(ProtImportMicrographs, voltage=300, **where)
    project.launchProtocol(imported, wait=True)
    expect(imported.isFinished(), "the micrographs are imported")
    screens, pick = Screens(project, str(folder)), project.newProtocol(CryodlProtPick)

    form = FormWindow("pick particles", pick, lambda *_, **__: None, screens.window)
    form.root.update()
    for field, value in (("inputMicrographs", Pointer(imported, extended="outputMicrographs")), ("modelFrom", 1)):
        form.setVar(field, value)
        form.root.update()
    expect(str(form.btnExecute["state"]) == "normal", "Execute is enabled once the form is filled from the top")
    failure = screens.take("user_form", lambda: form.show(center=False))
    expect(not failure, f"the form is drawn {failure}")
    project.launchProtocol(pick, wait=True)
    expect(pick.isFinished(), f"picked: {' '.join(pick.summary())[:90]} {pick.getErrorMessage() or ''}")
    expect(pick.outputCoordinates.getSize() > 200, f"{pick.outputCoordinates.getSize()} picks with the general model")
    failure = screens.take("user_results", lambda: screens.analyze(pick))
    expect(not failure, f"Analyze results opens {failure}")
    address = Plugin.getUrl(CryodlProtPick)
    if address:
        page(address, folder / "user_help.png")
    expect(bool(pick.getHelpText()), f"Help has words{' and the page ' + os.path.basename(address) if address else ''}")
    os.chdir(TOP)
    manager.deleteProject(name)


def main(folder: str, *names: str) -> None:
    path = Path(folder).absolute()
    path.mkdir(parents=True, exist_ok=True)
    walks: List[Callable[[Path], None]] = [student, facility, user]
    for walk in walks:
        if not names or walk.__name__ in names:
            print(f"== {walk.__name__}: {(walk.__doc__ or '').splitlines()[0]}", flush=True)
            since = time.time()
            walk(path)
            print(f"   {time.time() - since:.0f} s", flush=True)
    sys.stdout.flush()
    os._exit(0)  # pyworkflow leaves threads behind


if __name__ == "__main__":
    main(*sys.argv[1:])
