# SPDX-License-Identifier: GPL-3.0-or-later
"""doctor: what is installed, which devices and models there are, and what to do about what is missing."""

import importlib
import importlib.metadata
import json
import os
import platform
import re
import shutil
import sys
import typing
from pathlib import Path

import cryodl

from ..contract import CARD, DoctorConfig, check_model
from ..contract.packages import NEEDED

REMEDY = (
    "Run `scipion installb cryodl`, or install the packages of cryodl_scipion/install/requirements.lock into the "
    "Python that CRYODL_PYTHON names."
)
MODELS = Path(cryodl.__file__).parent / "models"


def doctor(
    config: DoctorConfig, warnings: typing.Sequence[str] = (), device: str | None = None, threads: int | None = None
) -> None:
    """Print the report, as JSON if config.json. Without the runner, since it must work where torch is missing.

    Raises SystemExit(1) if there are problems that keep the engine from working."""
    report = examine(device or "auto")
    print(json.dumps(report, indent=2, ensure_ascii=False) if config.json else as_text(report))
    if report["problems"]:
        raise SystemExit(1)


def examine(device: str = "auto") -> dict[str, typing.Any]:
    """All that the report says: versions, devices, threads, models, notes, problems. Works without torch.

    device: as --device; a GPU that is asked for and absent is a problem."""
    versions, problems = {"cryodl": cryodl.__version__, "python": platform.python_version()}, []
    for distribution, module in NEEDED.items():
        try:
            importlib.import_module(module)
            versions[distribution] = importlib.metadata.version(distribution)
        except (ImportError, OSError) as error:
            # OSError: a library of a broken or half-installed torch.
            problems.append(f"{distribution} cannot be imported in {sys.executable}: {error}. {REMEDY}")
    gpus, notes = list[dict[str, typing.Any]](), list[str]()
    if "torch" in versions:
        gpus, gpu_problems, notes = _gpus(device)
        problems += gpu_problems
    models, model_problems = find_models(MODELS)
    return {
        "versions": versions,
        "environment": sys.prefix,
        "devices": gpus + [_cpu()],
        "threads": len(os.sched_getaffinity(0)),
        "models": models,
        "notes": notes,
        "problems": problems + model_problems,
    }


def _gpus(asked: str) -> tuple[list[dict[str, typing.Any]], list[str], list[typing.Any]]:
    """GPUs that torch can use: list of dicts, problems, notes. asked: as --device."""
    import torch

    gpus, problems, notes = [], [], []
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        gpus.append(
            {
                "device": str(index),
                "name": properties.name,
                "memory_gb": round(properties.total_memory / 1e9, 1),
                "bf16": torch.cuda.get_device_capability(index) >= (8, 0),
            }
        )
        try:
            torch.ones(1, device=f"cuda:{index}").add(1).item()
        except RuntimeError as error:
            problems.append(
                f"GPU {index} ({properties.name}) was found but cannot compute: {str(error).splitlines()[0]} Use "
                "another GPU, or --device cpu."
            )
    wanted = asked.replace("cuda:", "").replace(",", " ").split()
    absent = [name for name in wanted if name not in ("auto", "cpu") and name not in {g["device"] for g in gpus}]
    if absent:
        problems.append(
            f"GPU {', '.join(absent)} (--device {asked}) is not available; torch finds {len(gpus)} GPU(s). Choose "
            f"one of: {', '.join([*(str(g['device']) for g in gpus), 'cpu'])}."
        )
    if not gpus and shutil.which("nvidia-smi"):
        build = f"was built for CUDA {torch.version.cuda}" if torch.version.cuda else "is a CPU build"
        notes.append(
            f"The NVIDIA driver is installed, but torch {torch.__version__} finds no GPU; it {build}. Check "
            "`nvidia-smi`, or install torch for your driver (CRYODL_PIP_ARGS, see docs/install.md)."
        )
    return gpus, problems, notes


def _cpu() -> dict[str, typing.Any]:
    cpuinfo = Path("/proc/cpuinfo")
    found = dict(re.findall(r"^(model name|flags)\s*: (.*)$", cpuinfo.read_text() if cpuinfo.exists() else "", re.M))
    bf16 = {"avx512_bf16", "amx_bf16"} & set(found.get("flags", "").split())
    return {"device": "cpu", "name": found.get("model name", platform.machine()), "bf16": bool(bf16)}


def find_models(folder: Path) -> tuple[list[dict[str, typing.Any]], list[str]]:
    """Shipped models in `folder`: list of dicts from their cards, and sentences about damaged ones."""
    models, problems = [], []
    for model in sorted(path.parent for path in Path(folder).glob(f"*/{CARD}")):
        try:
            card = check_model(model)
            models.append(
                {
                    "name": model.name.removeprefix(card["kind"] + "_"),
                    "folder": str(model),
                    "kind": card["kind"],
                    "network": card["network"],
                    "particle_diameter": card.get("particle_diameter"),
                }
            )
        except (OSError, ValueError) as error:
            problems.append(
                f"The shipped model {model.name} cannot be used: {error} If it is damaged, install the plugin again."
            )
    return models, problems


def as_text(report: typing.Mapping[str, typing.Any]) -> str:
    """The report for people."""
    lines = [
        "cryodl " + report["versions"]["cryodl"],
        "",
        "Versions    " + ", ".join(f"{k} {v}" for k, v in report["versions"].items() if k != "cryodl"),
        "Environment " + report["environment"],
        f"CPU threads {report['threads']}",
        "Devices",
    ]
    for device in report["devices"]:
        memory = f", {device['memory_gb']} GB" if "memory_gb" in device else ""
        lines.append(f"  {device['device']:>4}  {device['name']}{memory}, {'' if device['bf16'] else 'no '}bf16")
    lines.append("Models")
    for model in report["models"]:
        trained = f", trained at {model['particle_diameter']:g} Å" if model["particle_diameter"] else ""
        lines.append(f"  {model['name']}: {model['kind']}, {model['network']}{trained}")
    if not report["models"]:
        lines.append("  none shipped with this version; train one with `cryodl train-picker`")
    lines += ["", *("Note: " + note for note in report["notes"])]
    lines += ["PROBLEM: " + problem for problem in report["problems"]] or ["No problems found."]
    return "\n".join(lines)
