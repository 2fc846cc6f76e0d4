# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests (1) to (6): how near denoised particles come to their projections, beside raw and Wiener-filtered ones.

All figures are of particles that training never saw, against projections without CTF and noise. The test of a network
that learns from noise alone shows how much comes from the targets, and not from the images.
"""

from denoising_sets import SNR, Sets, noise_set
from parts import engine_path, table

ALONE = ("beta-galactosidase", "spike")
COMPLEXES = ("microtubule", "microtubule + kinesin", "nucleosome", "nucleosome + Chd1")
SNRS = (0.1, 0.05, 0.02)
NOISE = "trained on noise"


def run(bench):
    """The tests named in bench.options.tests."""
    for test in bench.options.tests:
        TESTS[test](bench)


def _alone(bench):
    first = bench.options.networks[0]
    for name in ALONE:
        for network in bench.options.networks if name == ALONE[0] else _networks(bench):
            Sets(bench).denoised(key(name, network, SNR), [name], network)
    for snr in SNRS:
        Sets(bench).denoised(key(ALONE[0], first, snr), [ALONE[0]], first, snr)


def _both(bench):
    for network in _networks(bench):
        for name in ALONE:
            Sets(bench).denoised(key("both", network, name), list(ALONE), network, on=name)


def _noise(bench):
    """Pairs of pure noise with projections of beta-galactosidase; tested on its particles."""
    engine_path()
    sets, name = Sets(bench), ALONE[0]
    for network in bench.options.networks[:2]:
        if key(NOISE, network, SNR) not in bench.figures:
            star = noise_set(sets.particles(name, training=True), sets.root / "sets" / "noise" / "particles.star")
            sets.denoised(key(NOISE, network, SNR), [name], network, particles=[star])


def _complexes(bench):
    """Each with and without its partner: a denoiser of both, tested on each."""
    for pair in (COMPLEXES[:2], COMPLEXES[2:]):
        for network in _networks(bench):
            for name in pair:
                Sets(bench).denoised(key("complex", network, name), list(pair), network, on=name)


TESTS = {"alone": _alone, "both": _both, "noise": _noise, "complexes": _complexes}


def _networks(bench):
    return bench.options.networks if bench.options.all_networks else bench.options.networks[:1]


def key(what, network, case):
    """Name of a figure: what was learnt, by which network, tested on which SNR or molecule."""
    return f"frc/{what}/{network}/{case}"


HEAD = [
    "learnt",
    "tested on",
    "network",
    "SNR",
    "particles",
    "FRC = 0.5 of raw / Wiener / denoised, Å",
    "mean FRC of raw / Wiener / denoised",
    "denoised / Wiener",
    "denoised noise - unrelated",
    "FSC = 0.5 of maps of raw / denoised, Å",
    "training CPU s",
]


def tables(bench):
    rows = sorted(_rows(bench), key=lambda row: row[2][:3])
    return table(
        HEAD,
        [
            [*head, f"{snr:g}", *cells(bench.figures.get(name))]
            for name, snr, *head, wanted in rows
            if wanted or name in bench.figures
        ],
    )


def _rows(bench):
    """(key, SNR, learnt, tested on, network, whether these options measure it)."""
    first, many = bench.options.networks[0], [(3, "both", "both", ALONE)]
    many += [
        (number, "complex", "with and without partner", pair)
        for number, pair in ((5, COMPLEXES[:2]), (6, COMPLEXES[2:]))
    ]
    for position, network in enumerate(bench.options.networks):
        usual = network in _networks(bench)
        for number, name in enumerate(ALONE, 1):
            for snr in SNRS if network == first and name == ALONE[0] else (SNR,):
                wanted = usual or name == ALONE[0]
                yield key(name, network, snr), snr, f"({number}) {name}", name, network, wanted
        for number, what, learnt, names in many:
            for name in names:
                yield key(what, network, name), SNR, f"({number}) {learnt}", name, network, usual
        yield key(NOISE, network, SNR), SNR, "(4) pure noise", ALONE[0], network, position < 2


def cells(figures):
    """Cells of one row of HEAD, from a denoising_sets.summary with its training."""
    if figures is None:
        return [None] * (len(HEAD) - 4)
    mean, half = figures["mean_frc"], figures["half"]
    steps = figures["training"]["steps"]
    return [
        str(figures["count"]),
        " / ".join(_angstrom(half[k]) for k in ("raw", "wiener", "denoised")),
        " / ".join(f"{mean[k]:.3f}" for k in ("raw", "wiener", "denoised")),
        f"{mean['denoised'] / mean['wiener']:.2f}",
        f"{figures['noise'] - figures['unrelated']:+.3f}",
        " / ".join(_angstrom(figures["map"][k]) for k in ("raw", "denoised")),
        f"{figures['training']['cpu']:.0f}" + (f" ({steps} steps)" if steps else ""),
    ]


def _angstrom(value):
    """None: not even the first ring is above the threshold."""
    return "none" if value is None else f"{value:.1f}"
