# SPDX-License-Identifier: GPL-3.0-or-later
"""The trainings of train-queue on a machine with a GPU that is lent for minutes, without network: packed, cut, joined.

A piece starts from the state that the last one left and leaves its own, as files that are small enough to be sent back:
a tar file in parts. Of a checkpoint it has weights as float16 and the optimiser's moments as bfloat16; data that were
simulated are not in it, and simulated again.
"""

import hashlib
import importlib
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "cryodl_scipion" / "install" / "requirements.lock"
GIVEN = ("torch", "numpy", "scipy", "safetensors", "einops", "networkx", "skimage", "tqdm")  # what such a machine has
BROUGHT = {  # packages of the lock that the trainings need besides, and the modules that they bring
    "gemmi": "gemmi",
    "mrcfile": "mrcfile",
    "torch-ctf": "torch_ctf",
    "torch-fourier-slice": "torch_fourier_slice",
    "torch-grid-utils": "torch_grid_utils",
    "torch-image-interpolation": "torch_image_interpolation",
}
PLATFORMS = [f"manylinux_2_{version}_x86_64" for version in (39, 28, 27, 24, 17)] + ["manylinux2014_x86_64"]
MODELS = ("general", "improver")  # that benchmarks/gpu.py looks at
MIB = 2**20
PACKED, PART, PARTS = 60 * MIB, 15 * MIB, 4  # largest sizes; a fifth file tells the state in words
SMALL = MIB  # files up to this size belong to the state: tables, cards, logs
CHECKPOINT, WEIGHTS = "checkpoint.safetensors", "weights.safetensors"
# What is left out, one after the other, until a checkpoint is small enough.
LEAVE_OUT = ((), ("best.discriminator.",), ("best.discriminator.", "optimizer."), ("network.", "best.", "optimizer."))


def pack(folder, trainings, data, python):
    """Fill a folder with all that the pieces need and the repository has not; ends the program if it is too much."""
    shutil.rmtree(folder, ignore_errors=True)
    for pattern in {pattern for one in trainings for pattern in one.get("structures", ())}:
        for source in sorted(data.glob(pattern)):
            target = folder / "data" / source.relative_to(data)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    lines = LOCK.read_text(encoding="utf-8").splitlines()
    wanted = [line.split()[0] for line in lines if line.partition("==")[0] in BROUGHT]
    platforms = [word for name in PLATFORMS for word in ("--platform", name)]
    head = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:"]
    versions = ["--python-version", python, "--implementation", "cp", *platforms]
    if subprocess.run([*head, *versions, "-d", str(folder / "wheels"), *wanted], check=False).returncode:
        sys.exit(f"pip did not get the packages for Python {python}; its message is above.")
    engine = ROOT / "cryodl_scipion" / "engine" / "cryodl"
    parts = dict(benchmarks=size_of(ROOT / "benchmarks"), scripts=size_of(ROOT / "scripts"))
    parts.update(engine=size_of(engine) - size_of(engine / "models"), **{folder.name: size_of(folder)})
    parts.update({f"model {name}": size_of(engine / "models" / name) for name in MODELS})
    print(", ".join(f"{name} {size / MIB:.1f} MiB" for name, size in parts.items()))
    if sum(parts.values()) > PACKED:
        sys.exit(f"That is {sum(parts.values()) / MIB:.1f} MiB, and {PACKED // MIB} may travel. Leave trainings out.")


def size_of(folder):
    """Bytes of a folder's files, without what Python writes beside them."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)


def unpack(folder):
    """Put the packages that were brought into a new folder, for PYTHONPATH. Ends the program if some still lack."""
    site = tempfile.mkdtemp(prefix="packages_")
    for wheel in sorted((folder / "wheels").glob("*.whl")):
        with zipfile.ZipFile(wheel) as file:
            file.extractall(site)
    sys.path.append(site)
    lacking = [name for name in (*GIVEN, *BROUGHT.values()) if not _works(name)]
    if lacking:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        sys.exit(f"This Python {version} lacks: {', '.join(lacking)}. Pack again with --python {version}.")
    return site


def _works(module):
    """Whether a module can be imported: one that was compiled for another Python is there, and cannot."""
    try:
        importlib.import_module(module)
    except ImportError:
        return False
    return True


def write_state(training, results):
    """Write the state of a folder of trainings as parts into `results`. Returns sentences about what was left out."""
    for left_out in LEAVE_OUT:
        packed = _packed(training, left_out)
        if len(packed) <= PARTS * PART:
            break
    else:
        raise ValueError(f"The state has {len(packed) / MIB:.0f} MiB, and {PARTS * PART // MIB} may be sent back.")
    results.mkdir(parents=True, exist_ok=True)
    for number, start in enumerate(range(0, len(packed), PART)):
        (results / f"state.{number:03d}").write_bytes(packed[start : start + PART])
    return [f"Not in the state, for its size: {', '.join(left_out)}."] if left_out else []


def _packed(training, left_out):
    memory = io.BytesIO()
    files = [path for path in training.rglob("*") if path.is_file() and path.name not in ("lock", "prepared")]
    with zipfile.ZipFile(memory, "w") as state, tempfile.TemporaryDirectory() as scratch:
        for path in sorted(files):
            if path.name in (CHECKPOINT, WEIGHTS):
                halved = Path(scratch) / path.name
                _halve(path, halved, left_out)
                state.write(halved, path.relative_to(training))
            elif path.stat().st_size <= SMALL and path.suffix != ".safetensors":
                state.write(path, path.relative_to(training))
    return memory.getvalue()


def read_state(parts, training):
    """Take up the state that a folder of parts has, if there is one."""
    packed = b"".join(path.read_bytes() for path in sorted(parts.glob("state.[0-9]*")))
    if not packed:
        return
    shutil.rmtree(training, ignore_errors=True)
    with zipfile.ZipFile(io.BytesIO(packed)) as state:
        state.extractall(training)
    for path in training.rglob(CHECKPOINT):
        _restore(path)
    for path in training.rglob(WEIGHTS):  # halved, they are no longer those that their card names
        card, checksum = path.with_name("card.json"), hashlib.sha256(path.read_bytes()).hexdigest()
        card.write_text(json.dumps(dict(json.loads(card.read_text()), weights_sha256=checksum), indent=1))


def _tensors(path):
    """Metadata and tensors of a file."""
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        return dict(file.metadata() or {}), {key: file.get_tensor(key) for key in file.keys()}


def _halve(source, target, left_out):
    """A checkpoint or weights in half precision. The running mean of weights is left out where it is the weights."""
    import torch
    from safetensors.torch import save_file

    metadata, tensors = _tensors(source)
    tensors = {key: value for key, value in tensors.items() if not key.startswith(tuple(left_out) or "\0")}
    for key in [key for key in tensors if key.startswith("average.module.")]:
        own = tensors.get(key.replace("average.module.", "network.", 1))
        if own is not None and torch.equal(own, tensors[key]):
            del tensors[key]

    def half(key, value):
        if not value.is_floating_point() or value.dim() < 2:
            return value
        return value.to(torch.bfloat16 if key.startswith("optimizer.") else torch.float16)

    save_file({key: half(key, value).contiguous() for key, value in tensors.items()}, target, metadata)


def _restore(path):
    """A checkpoint as it was written, from its half."""
    from safetensors.torch import save_file

    metadata, tensors = _tensors(path)
    tensors = {key: value.float() if value.is_floating_point() else value for key, value in tensors.items()}
    for key in [key for key in tensors if key.startswith("average.module.")]:
        tensors.setdefault(key.replace("average.module.", "network.", 1), tensors[key].clone())
    for key in [key for key in tensors if key.startswith("network.")]:
        for head in ("average.module.", "best."):
            tensors.setdefault(head + key.removeprefix("network."), tensors[key].clone())
    save_file(tensors, str(path) + ".partial", metadata)
    os.replace(str(path) + ".partial", path)
