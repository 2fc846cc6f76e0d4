# SPDX-License-Identifier: GPL-3.0-or-later
"""How long each command is silent while it works on data of a usual size: its log must show that it works.

    python benchmarks/silence.py --work silence/ --output silence.json [--commands pick ...] [--seconds 30]

Each command is started as Scipion starts it, its output read through a pipe, and it is stopped after so many seconds of
CPU. The longest silence counts from the start to the end. "Own" is the longest one, in seconds of CPU, without the
lines that io/silence.py adds: what a terminal shows. Exits 1 if a log was silent for more than 10 s. Made are 2
micrographs of 4096 x 4096 px, 2,000 particles of 64 px, a tomogram of 512 x 512 x 256 voxels with its halves, 40
subtomograms, and half-maps of 96 voxels.
"""

import argparse
import os
import selectors
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from trials import ENGINE, write_helix, write_map, write_rows

LONGEST = 10.0  # s
ADDED = b"  ... at work for "
_COMPUTE = "--device cpu --threads 1"
_MICROGRAPHS = "--micrographs sim/micrographs/*.mrc --pixel-size 1.5"
_SIZED = f"{_MICROGRAPHS} --particle-diameter 160"
_PARTICLES = "--particles particles.star"
_STRUCTURE = "--structure map.mrc"
_TOMOGRAMS = "--tomograms tomograms/*.mrc"
COMMANDS = {
    "pick": f"{_SIZED} --model general {_COMPUTE}",
    "auto-pick": f"{_SIZED} --training-micrographs 2 {_COMPUTE}",
    "train-picker": f"{_SIZED} --coordinates sim/coordinates {_COMPUTE}",
    "pick-templates": f"{_MICROGRAPHS} {_STRUCTURE} --threads 1",
    "pick-filaments": f"{_MICROGRAPHS} --filament-diameter 160 {_COMPUTE}",
    "assess-micrographs": f"{_SIZED} --threads 1",
    "estimate-ctf": f"{_MICROGRAPHS} --voltage 300 --spherical-aberration 2.7 --threads 1",
    "extract-particles": f"--coordinates sim/coordinates {_SIZED} --threads 1",
    "denoise-micrographs": f"{_MICROGRAPHS} {_COMPUTE}",
    "simulate-micrographs": f"{_STRUCTURE} --pixel-size 1.5 --count 2 --size 4096 {_COMPUTE}",
    "train-general-picker": _COMPUTE,
    "train-filament-picker": _COMPUTE,
    "simulate-particles": f"{_STRUCTURE} --pixel-size 4 --box 64 --count 2000 --snr 0.1 {_COMPUTE}",
    "train-denoiser": f"{_PARTICLES} {_STRUCTURE} {_COMPUTE}",
    "denoise": f"{_PARTICLES} --model denoiser {_COMPUTE}",
    "denoise-general": f"{_PARTICLES} --model general_denoiser {_COMPUTE}",
    "assign-orientations": f"{_PARTICLES} {_STRUCTURE} {_COMPUTE}",
    "reconstruct": f"{_PARTICLES} --threads 1",
    "classify-2d": f"{_PARTICLES} {_COMPUTE}",
    "classify-2d-classes-from": f"{_PARTICLES} --classes-from classes {_COMPUTE}",
    "classify-2d-again": f"{_PARTICLES} --classes-from classes --again {_COMPUTE}",
    "select-classes": "--classes classes/classes.star --particles classes/particles.star --threshold 0",
    "fit-heterogeneity": f"{_PARTICLES} --reference map.mrc --method linear {_COMPUTE}",
    "fit-heterogeneity-auto": f"{_PARTICLES} --reference map.mrc --method auto {_COMPUTE}",
    "simulate-tomograms": f"--structures map.mrc --size 512 --thickness 256 {_COMPUTE}",
    "segment": f"{_TOMOGRAMS} --model membrane ribosome {_COMPUTE}",
    "train-segmenter": f"{_TOMOGRAMS} --labels labels/*.mrc --label 1 --feature membrane {_COMPUTE}",
    "denoise-tomograms": f"--even halves/*_even.mrc --odd halves/*_odd.mrc {_COMPUTE}",
    "detect-particles": f"{_TOMOGRAMS} --template map.mrc {_COMPUTE}",
    "train-detector": f"{_TOMOGRAMS} --coordinates points.star --diameter 160 {_COMPUTE}",
    "measure-membranes": "--segmentations labels/*.mrc --label 1",
    "simulate-subtomograms": f"--structures map.mrc other.mrc --count 100 {_COMPUTE}",
    "train-classifier": f"--subtomograms subtomograms.star {_COMPUTE}",
    "cluster-subtomograms": f"--subtomograms subtomograms.star {_COMPUTE}",
    "fit-subtomogram-heterogeneity": "--subtomograms subtomograms.star --latent 1 --threads 1",
    "improve-map": f"--half-maps helix_half1.mrc helix_half2.mrc {_COMPUTE}",
    "evaluate-map": "--map helix_full.mrc --half-maps helix_half1.mrc helix_half2.mrc --structure helices/a.pdb",
    "train-map-improver": f"--structures helices/*.pdb {_COMPUTE}",
}
# Rows that are a command with other options.
_SAME = {
    "denoise-general": "denoise",
    "classify-2d-classes-from": "classify-2d",
    "classify-2d-again": "classify-2d",
    "fit-heterogeneity-auto": "fit-heterogeneity",
}
_DENOISE = {"denoise", "denoise-general"}
_FILES = {"simulate-particles", "simulate-subtomograms", *_DENOISE, "assign-orientations", "cluster-subtomograms"}
_ENDS = {
    **dict.fromkeys([*_FILES, "estimate-ctf", "extract-particles"], ".star"),
    **dict.fromkeys(["reconstruct", "improve-map"], ".mrc"),
    "evaluate-map": ".json",
}
_MADE = (
    f"simulate-micrographs {_STRUCTURE} --pixel-size 1.5 --count 2 --size 4096 --snr 0.1 --output sim {_COMPUTE}",
    f"simulate-particles {_STRUCTURE} --pixel-size 4 --box 64 --count 2000 --snr 0.1 --output particles.star "
    f"{_COMPUTE}",
    f"simulate-particles {_STRUCTURE} --pixel-size 4 --box 64 --count 50 --snr 0.1 --output few.star {_COMPUTE}",
    f"classify-2d --particles few.star --classes 4 --output classes {_COMPUTE}",
    f"train-denoiser --particles few.star {_STRUCTURE} --network swinconv --steps 2 --batch-size 2 --output denoiser "
    f"{_COMPUTE}",
    f"simulate-subtomograms --structures map.mrc other.mrc --count 20 --output subtomograms.star {_COMPUTE}",
    "simulate-half-maps --structure helices/a.pdb --resolution 4 --box 96 --output helix --threads 1",
)


def main() -> int:
    """Run the commands, print a line for each, and write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commands", nargs="+", choices=list(COMMANDS), default=list(COMMANDS))
    parser.add_argument("--seconds", type=float, default=30.0, help="Of CPU, after which a command is stopped.")
    parser.add_argument("--work", type=Path, default=Path("silence"), help="Folder to work in.")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    make_data(options.work)
    rows = []
    for name in options.commands:
        rows.append(measure(name, options.work, options.seconds))
        print(
            "{name:22s} {longest:5.1f} s, own {own:5.1f} s of CPU after {after!r}; {end}".format(**rows[-1]), flush=True
        )
        if options.output:
            write_rows(options.output, rows[-1:])
    return 1 if any(row["longest"] > LONGEST for row in rows) else 0


def measure(name: str, work: Path, limit: float) -> dict:
    """The longest silence (s) of a command, its own one (s of CPU) and what was said before, and how it ended."""
    output = f"out-{name}{_ENDS.get(name, '')}"
    subprocess.run(["rm", "-rf", output, f"{output}.partial"], cwd=work, check=True)
    command = _SAME.get(name, name)
    words = [sys.executable, "-m", "cryodl", command, *COMMANDS[name].split(), "--output", output]
    start, said = time.monotonic(), [(0.0, 0.0, b"")]  # wall and CPU seconds, what was printed then
    with (
        subprocess.Popen(
            words, cwd=work, env=_environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as process,
        selectors.DefaultSelector() as selector,
    ):
        selector.register(process.stdout, selectors.EVENT_READ)
        cpu, stopped = 0.0, False
        while not stopped and process.poll() is None:
            if selector.select(0.5):
                text = os.read(process.stdout.fileno(), 1 << 16)
                said += [(time.monotonic() - start, cpu, text)] if text else []
            cpu = _cpu_seconds(process.pid, cpu)
            stopped = cpu > limit
        process.kill()
    said.append((time.monotonic() - start, cpu, b""))
    (work / f"{name}.log").write_bytes(b"".join(text for _, _, text in said))
    own = [entry for entry in said if not entry[2].startswith(ADDED)]
    position = int(np.argmax(np.diff([seconds for _, seconds, _ in own])))
    after = own[position][2].decode(errors="replace").strip().replace("\r", "\n").splitlines()
    return dict(
        name=name,
        command=f"{command} {COMMANDS[name]}",
        seconds=round(said[-1][0], 1),
        end="stopped" if stopped else f"ended with {process.returncode}",
        longest=round(float(np.diff([seconds for seconds, _, _ in said]).max()), 1),
        own=round(own[position + 1][1] - own[position][1], 1),
        after="".join(after[-1:])[:80],
    )


def _cpu_seconds(process, before):
    """User and system time of a process; what it was before if it has ended."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return before
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") or before


def _environment():
    return dict(os.environ, PYTHONPATH=str(ENGINE), PYTHONUNBUFFERED="1", OMP_NUM_THREADS="1")


def make_data(work: Path) -> None:
    """The data in a folder; kept if it is there."""
    if (work / "points.star").exists():
        return
    (work / "helices").mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(("map.mrc", "other.mrc")):
        write_map(work / name, number)
    for number, name in enumerate("abcd"):
        write_helix(work / "helices" / f"{name}.pdb", number)
    for words in _MADE:
        if (work / words.split("--output ")[1].split()[0]).exists():
            continue  # a start that was stopped has made it
        command = [sys.executable, "-m", "cryodl", *words.split()]
        with open(work / "data.log", "a") as log:
            subprocess.run(command, cwd=work, env=_environment(), stdout=log, stderr=log, check=True)
    _write_tomogram(work)


def _write_tomogram(work):
    """Noise with balls of 160 Å in it at 10 Å/px: a tomogram, its two halves, labels of the balls, their centres."""
    import mrcfile

    rng = np.random.default_rng(0)
    shape, centres = (256, 512, 512), rng.integers(20, 230, (60, 3)) + rng.integers(0, 2, (60, 3)) * [0, 240, 240]
    labels, ball = np.zeros(shape, np.int8), np.indices((17,) * 3) - 8
    ball = (ball**2).sum(0) <= 64
    for z, y, x in centres:
        labels[z - 8 : z + 9, y - 8 : y + 9, x - 8 : x + 9][ball] = 1
    noisy = [rng.standard_normal(shape, np.float32) - labels for _ in range(2)]
    values = {"halves/t_even": noisy[0], "halves/t_odd": noisy[1], "tomograms/t": sum(noisy) / 2, "labels/t": labels}
    for name, value in values.items():
        (work / name).parent.mkdir(exist_ok=True)
        with mrcfile.new(work / f"{name}.mrc", value, overwrite=True) as mrc:
            mrc.set_volume()
            mrc.voxel_size = 10.0
    rows = [f"t {x} {y} {z}" for z, y, x in centres]
    names = ("rlnTomoName", "rlnCoordinateX", "rlnCoordinateY", "rlnCoordinateZ")
    head = ["data_particles", "", "loop_", *(f"_{name} #{i + 1}" for i, name in enumerate(names))]
    (work / "points.star").write_text("\n".join([*head, *rows, ""]))


if __name__ == "__main__":
    sys.exit(main())
