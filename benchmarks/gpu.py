# SPDX-License-Identifier: GPL-3.0-or-later
"""Every network of the registry on the CPU and on a GPU: are the answers the same, and how fast is each.

The weights are those of shipped models where safetensors is there, else random; the inputs are Gaussian noise; both are
seeded. A machine that lacks packages of the engine's gets them by `scripts/train-queue --pack`.
"""

import sys
import time

import torch
from bench import benchmark, columns

from cryodl.contract import networks
from cryodl.core.devices import choose_device, device_name
from cryodl.learning.task import method_of
from cryodl.maps.improvers.run import load_network

NETWORKS = {
    f"{n.kind} {n.name}": n for n in networks.NETWORKS if n.name not in {"posterior", "likelihood"}
}  # with weights


# Largest, and root mean square difference, over the spread of the output: its standard deviation, but at least SMALL of
# its root mean square (an untrained network may give nearly one number everywhere). Random weights blow up rounding in
# bfloat16 more than trained ones do; hence 5e-2.
FLOAT32, BFLOAT16, SMALL = 1e-3, 5e-2, 0.2
SHIPPED = {("picker", "unet"): "general", ("map_improver", "fast"): "improver"}  # an untrained one may answer nothing
BOX = 64  # px, of particle images


def picker_example(method, weights):
    network = method.build_like(weights) if weights else method.build()
    if weights:
        network.load_state_dict(weights)
    dense = method.dense(network.eval())
    side = 512 // dense.multiple * dense.multiple
    return dense, torch.randn(2, 1, side, side), f"tile of {side} px"


def denoiser_example(method, _):
    network, ctf = method.build(BOX), torch.rand(8, 1, BOX, BOX // 2 + 1) * 2 - 1
    return network, network.prepare(torch.randn(8, 1, BOX, BOX), ctf), f"image of {BOX} px"


def improver_example(method, weights):
    network = load_network({"network": method.name}, weights, method.name) if weights else method.build()
    return network, torch.randn(2, 1, 48, 48, 48), "cube of 48 px"


def tomogram_example(method, _):
    network = method.build()
    torch.nn.init.normal_(network.head.weight, std=0.1)  # an untrained one adds nothing
    return network, torch.randn(2, 2, 48, 48, 48), "cube of 48 px"


EXAMPLES = {  # {kind: a function of the method and the shipped weights}: a network, a batch for it, and what an item is
    "picker": picker_example,
    "denoiser": denoiser_example,
    "map_improver": improver_example,
    "tomogram_denoiser": tomogram_example,
    "segmenter": lambda method, _: (method.build(), torch.randn(4, method.slices_in, 256, 256), "slice of 256 px"),
    "classifier": lambda method, _: (
        method.build(6, method.box),
        torch.randn(2, 1, *[method.box] * 3),
        f"cube of {method.box} px",
    ),
    "detector": lambda method, _: (method.build(3), torch.randn(2, 1, 48, 48, 48), "cube of 48 px"),
    "filament_picker": lambda method, _: (method.build(), torch.randn(2, 1, 512, 512), "tile of 512 px"),
}


def _shipped(kind, name):
    """Weights of a shipped model, or None where there is none, or no library to read them."""
    if (kind, name) not in SHIPPED:
        return None
    try:
        from cryodl.io.model import find_model, read_model

        return read_model(find_model(SHIPPED[kind, name]))[1]
    except ModuleNotFoundError as error:
        print(f"{kind} {name}: random weights, since {error.name} is missing.", file=sys.stderr)
        return None


def answer(network: torch.nn.Module, inputs: tuple[torch.Tensor, ...], device: torch.device, dtype: torch.dtype):
    """The network's output as float32 on the CPU."""
    with torch.inference_mode(), torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
        found = network(*[x.to(device) for x in inputs])
    return (found[0] if isinstance(found, (tuple, list)) else found).float().cpu()


def rate(
    network: torch.nn.Module, inputs: tuple[torch.Tensor, ...], device: torch.device, dtype: torch.dtype, seconds: float
) -> float:
    """Items per second, after a warm-up."""
    placed = [x.to(device) for x in inputs]
    wait = (lambda: torch.cuda.synchronize(device)) if device.type == "cuda" else lambda: None
    with torch.inference_mode(), torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
        network(*placed)
        wait()
        start, count = time.perf_counter(), 0
        while time.perf_counter() - start < seconds:
            network(*placed)
            wait()
            count += len(inputs[0])
    return count / (time.perf_counter() - start)


@benchmark(
    cases=dict(network=NETWORKS),
    tables={
        "gpu": columns(
            {
                "network": "network",
                "item": "item",
                "CPU float32 /s": "cpu_float32_per_s:.3g",
                "float32 /s": "float32_per_s:.3g",
                "bfloat16 /s": "bfloat16_per_s:.3g",
                "largest difference, float32": "float32_largest:.1e",
                "rms difference, bfloat16": "bfloat16_rms:.1e",
                "the same": lambda r: "yes" if r["same"] else "**no**",
            }
        )
    },
    quick=dict(seconds=0.1),
)
def gpu(run, network, seconds=3.0, device="auto"):
    """Differences and rates (seconds of each) of one network. The same: float32 without TF32 within 1e-3 of the
    output's spread, bfloat16 within 5e-2, root mean square. Without a GPU, bfloat16 on the CPU is compared with
    float32: device says which it was."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    kind, name = NETWORKS[network].kind, NETWORKS[network].name
    torch.manual_seed(0)
    built, given, unit = EXAMPLES[kind](method_of(kind, name), _shipped(kind, name))
    inputs = given if isinstance(given, tuple) else (given,)
    place, cpu = choose_device(str(device)), torch.device("cpu")
    built = built.eval()
    expected = answer(built, inputs, cpu, torch.float32)
    spread = max(float(expected.std()), SMALL * float(expected.square().mean().sqrt()))
    row = dict(item=unit, cpu_float32_per_s=rate(built, inputs, cpu, torch.float32, seconds))
    built = built.to(place)
    for dtype, word in ((torch.float32, "float32"), (torch.bfloat16, "bfloat16")):
        difference = (answer(built, inputs, place, dtype) - expected).abs()
        row[f"{word}_largest"] = float(difference.max()) / spread
        row[f"{word}_rms"] = float(difference.square().mean().sqrt()) / spread
        row[f"{word}_per_s"] = rate(built, inputs, place, dtype, seconds)
    same = row["float32_largest"] <= FLOAT32 and row["bfloat16_rms"] <= BFLOAT16
    return dict(row, same=same, device=device_name(place), torch=torch.__version__)
