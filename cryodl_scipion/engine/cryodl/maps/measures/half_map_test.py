# SPDX-License-Identifier: GPL-3.0-or-later
"""The half-map test: what two improved half-maps share that the data, treated in the same simple ways, do not. Each raw
half-map gets a control: it is filtered, clipped and locally scaled as its improved version is, so that a gain by
sharpening, masking or clipping alone is not taken for a gain of detail."""

import dataclasses
import typing

import numpy as np
import scipy.fft
from scipy.ndimage import binary_dilation, distance_transform_edt, gaussian_filter

from .shells import Curve, shell_correlation, shell_numbers, shell_sums
from .volume import Volume, above_solvent

REACH = 12.0  # Å; scale of the local gain: a soft mask, a weak domain. A finer one would carry detail of its own
EMPTY = 1e-3  # of a map's highest value: below it a voxel was clipped, or masked away
EDGE = 14  # px: within so many of a mask's border its profile is imitated
HOLE = 6.0  # Å; narrower gaps are clipped noise, wider ones masked away
SMOOTH = 5  # shells that the transfer function is averaged over
CLIPPED = 0.01  # fraction of the voxels at the lowest value from which on a map counts as clipped
SPAN = 5  # shells that the worst part of the spectrum has
AGREED = 0.3  # FSC of the controls below which too little signal is left to tell shared from invented
# Of how much more a linear filter leaves like its own half. Of four molecules at 3 to 6 Å our network left 0.22 to 0.6,
# clipping 0.4, a low-pass filter at 1.5 times the resolution 0.34; the other half or the full map had 0.01 at most.
OWN = 0.12
BEYOND = 1.3  # times the frequency where the controls cease to agree: as far as a gain is looked for
FLOOR = 1e-4  # of the power, for shells without signal
ENDED = 0.2  # of the largest amplitude of a shell over that of the raw halves: below it a low-pass filter has ended
EMPTIED = 0.05  # of the largest power of a shell over the raw halves': a filter left less, or clipping made it (0.04)


@dataclasses.dataclass(frozen=True)
class Shared:
    """Power that two improved half-maps share. gain: Mean difference of two FSC, over the shells down to a little
    beyond where the controls agree: of an improved half with the control of the other half, and of the two controls.
    Positive: detail of the data became clearer. unexplained: Fraction of the shared power, over the shells in which the
    controls agree, that is not in the data: 0 for filters, masks and clipping (up to 0.007 was seen), 1 / 17 for an
    added texture of a quarter of the amplitude. worst: The highest such fraction in SPAN neighbouring shells, by the
    controls for which it is lowest: low resolution, which has most of the power, hides nothing there. Shells that a
    filter emptied do not count. curve: The same fraction in each shell. controls: of control_halves."""

    gain: float
    unexplained: float
    worst: float
    curve: Curve
    controls: list[list[np.ndarray]]


def half_map_test(
    halves: typing.Sequence[Volume], improved: typing.Sequence[np.ndarray], mask: np.ndarray
) -> tuple[dict[str, dict[str, float | None]], dict[str, Curve], Shared]:
    """Compare improved half-maps with each other, and with what the data alone allow. halves: Two half-maps on one
    grid. improved: (z, y, x), their improved data, each made from its half alone. mask: (z, y, x), mask from 0 to 1
    that all maps are measured in. resolutions: dict, Å at an FSC of 0.143 and of 0.5: of the half-maps (`raw`), of
    their controls (`control`), of both improved (`improved`), and of one improved with the control of the other half
    (`crossed`). curves: dict of Curve, The FSC curves of the same names. shared: Shared, How much of what the improved
    half-maps share is not in the data."""
    voxels, raw = halves[0].voxels_zyx, [np.asarray(half.data, np.float32) for half in halves]
    raw_masked, outputs = [x * mask for x in raw], [x * mask for x in improved]
    plain, ended = control_halves(raw, improved, voxels)
    shells = int(np.flatnonzero(_end(raw, improved, voxels))[-1]) + 1
    found, power = plain + ended, np.maximum(np.mean([shell_sums(x, x, voxels) for x in raw_masked], 0), 1e-30)
    agreements, explained = [], []
    for pair in found:  # of a large map each takes a gigabyte, masked another
        controls = [x * mask for x in pair]
        agreements.append(shell_correlation(controls[0], controls[1], voxels))
        explained.append(_unexplained(outputs, controls, agreements[-1], power, voxels))
    best, whole = (int(np.argmin([e[0] for e in part])) for part in (explained, explained[: len(plain)]))

    def crossed(number: int) -> Curve:
        pairs = [shell_correlation(outputs[k], found[number][1 - k] * mask, voxels) for k in (0, 1)]
        return dataclasses.replace(pairs[0], value=(pairs[0].value + pairs[1].value) / 2)

    compared = [dict(control=agreements[number], crossed=crossed(number)) for number in {best, whole}]
    curves = {
        "raw": shell_correlation(raw_masked[0], raw_masked[1], voxels),
        "improved": shell_correlation(outputs[0], outputs[1], voxels),
        **max(compared, key=_gain),
    }
    resolutions = {
        name: {"fsc0143_angstrom": curve.resolution(0.143), "fsc05_angstrom": curve.resolution(0.5)}
        for name, curve in curves.items()
    }
    # beyond the end of a filter nothing is gained or lost: clipping made what both show there
    gain = max(_gain(one, shells) for one in compared)
    shared = Shared(gain, explained[best][0], min(e[1] for e in explained), explained[best][2], found)
    return resolutions, curves, shared


def of_their_halves(
    processed: typing.Sequence[Volume], halves: typing.Sequence[Volume], mask: np.ndarray
) -> list[np.ndarray]:
    """The data (z, y, x) of processed half-maps, their solvent at 0 and their standard deviation 1. Raises ValueError
    if one does not share the noise of its half-map, in the shells where both half-maps agree."""
    data = [above_solvent(half, mask).data for half in processed]
    alike = lambda x, y: shell_correlation(x * mask, y * mask, halves[0].voxels_zyx).value
    both = alike(halves[0].data, halves[1].data)
    shells = both > AGREED
    for one, values, own, other in zip(processed, data, halves, halves[::-1]):
        nearer = alike(values, own.data) - alike(values, other.data)
        if shells.any() and nearer[shells].mean() < OWN * (1 - both[shells]).mean():
            raise ValueError(
                f"The processed half-map {one.path} (--processed) is hardly more like its half-map {own.path} than "
                f"like {other.path}. Check the order of both pairs, that each was processed alone, that it lies where "
                "its half-map does, and that protein is positive in it."
            )
    return data


def control_halves(
    raw: typing.Sequence[np.ndarray], improved: typing.Sequence[np.ndarray], voxels_zyx: np.ndarray
) -> tuple[list[list[np.ndarray]], list[list[np.ndarray]]]:
    """The half-maps filtered, clipped and locally scaled as the improved ones are, without what was added to them.
    Which filter was applied before a map was clipped cannot be seen exactly: no filter, a B-factor and a free filter
    are offered, with and without an end where the power falls, and the test takes the one that explains most. raw,
    improved: (z, y, x), two half-maps, and their improved versions. voxels_zyx: (3,), Å. Returns two lists of list
    of ndarray, (z, y, x): for each filter two controls, of filters without an end and with one."""
    gains, end = _gains(raw, improved, voxels_zyx), _end(raw, improved, voxels_zyx)
    # each control by its own output: what both controls shared would pass for agreement of the data
    treat = [_treatment(output, voxels_zyx) for output in improved]
    controls = lambda maps: [treated(control) for treated, control in zip(treat, maps)]
    filtered = lambda gain: raw if (gain == 1).all() else _with_gain(raw, gain, voxels_zyx)
    ended = [] if end.all() else [gain * end for gain in gains]
    return [controls(filtered(gain)) for gain in gains], [controls(filtered(gain)) for gain in ended]


def _treatment(output: np.ndarray, voxels_zyx: np.ndarray) -> typing.Callable[[np.ndarray], np.ndarray]:
    """What clips and masks a control as the output is, with the mask's edge like its own by the distance to the border,
    and gives it the local root mean square. What is clipped counts within the mask: beyond it the output is at its
    lowest value, too."""
    kept = _kept(output, voxels_zyx)
    lowest, within = output.min(), kept > 0
    clipped = float((output == lowest)[within].mean()) if within.any() else 0.0
    depth = distance_transform_edt(np.pad(kept, 1, constant_values=1))[1:-1, 1:-1, 1:-1]  # the box has no border
    depth = np.minimum(depth, EDGE if not kept.all() else 0).astype(int)
    profile = lambda x: np.bincount(depth.ravel(), np.square(x).ravel(), EDGE + 1)
    blur = lambda x: gaussian_filter(x**2, REACH / 2.35 / np.asarray(voxels_zyx))
    edge, local = profile(output), blur(output)

    def treated(control: np.ndarray) -> np.ndarray:
        if CLIPPED <= clipped < 1:  # the output is cut off at all
            level = np.quantile(control[within], clipped)
            control = np.maximum(control, level) - (level if lowest == 0 else 0)
        control = control * kept
        control = control * np.sqrt(edge / np.maximum(profile(control), 1e-30))[depth].astype(np.float32)
        return control * np.sqrt(local / np.maximum(blur(control), 1e-12))

    return treated


def _kept(output: np.ndarray, voxels_zyx: np.ndarray) -> np.ndarray:
    """1 where an improved map was not masked away, else 0: (z, y, x) float32."""
    shown = np.abs(output) > EMPTY * np.abs(output).max()
    near = distance_transform_edt(~shown, sampling=tuple(voxels_zyx)) <= HOLE / 2
    # back by as much as it grew: the border of a mask stays where it is, gaps within it are closed
    beyond = distance_transform_edt(near, sampling=tuple(voxels_zyx)) <= HOLE / 2 - 1e-3
    return (shown | ~binary_dilation(beyond, np.ones((3, 3, 3)))).astype(np.float32)  # no pits in the border are


def _gains(
    raw: typing.Sequence[np.ndarray], improved: typing.Sequence[np.ndarray], voxels_zyx: np.ndarray
) -> list[np.ndarray]:
    """Gains in shells: none, a B-factor's and a free one, as the improvement treated the signal of both halves."""
    power = lambda a, b: shell_sums(a, b, voxels_zyx)
    signal = np.maximum(power(*raw), FLOOR * np.sqrt(power(raw[0], raw[0]) * power(raw[1], raw[1])))
    free = np.maximum((power(improved[0], raw[1]) + power(improved[1], raw[0])) / 2, 0) / np.maximum(signal, 1e-30)
    free = np.convolve(np.pad(free, SMOOTH // 2, mode="edge"), np.ones(SMOOTH) / SMOOTH, "valid")
    agreement = shell_correlation(raw[0], raw[1], voxels_zyx)
    use = (agreement.value > AGREED) & (free > 0) & (np.arange(len(free)) > SMOOTH)
    if use.sum() < 3:
        return [np.ones_like(free), free]
    squared = agreement.frequency**2
    slope, level = np.polyfit(squared[use], np.log(free[use]), 1)
    within = agreement.frequency <= BEYOND * agreement.frequency[use].max()
    return [np.ones_like(free), np.exp(level + slope * np.minimum(squared, squared[within].max())), free]


def _end(raw: typing.Sequence[np.ndarray], improved: typing.Sequence[np.ndarray], voxels_zyx: np.ndarray) -> np.ndarray:
    """1 in the shells where a low-pass filter left the improved half-maps their power, 0 beyond."""
    power = [sum(shell_sums(x, x, voxels_zyx) for x in maps) for maps in (improved, raw)]
    part = np.sqrt(power[0] / np.maximum(power[1], 1e-30))
    return (np.arange(len(part)) <= np.flatnonzero(part > ENDED * part[2:].max(initial=0)).max(initial=0)).astype(float)


def _with_gain(maps: typing.Sequence[np.ndarray], gain: np.ndarray, voxels_zyx: np.ndarray) -> list[np.ndarray]:
    """Maps with each Fourier shell multiplied by a factor, and nothing beyond the last shell."""
    index, count, _ = shell_numbers(maps[0].shape, voxels_zyx)
    factor = np.append(gain, 0)[np.minimum(index, count)].astype(np.float32)
    return [scipy.fft.irfftn(scipy.fft.rfftn(x) * factor, s=x.shape) for x in maps]


def _gain(curves: typing.Mapping[str, Curve], shells: int | None = None) -> float:
    """Mean of FSC `crossed` - `control` over shells that may hold signal. shells: how many improved maps have."""
    control, crossed = (curves[name].value[:shells] for name in ("control", "crossed"))
    below = np.flatnonzero(control[2:] < AGREED / 2)
    last = len(control) if not len(below) else int(BEYOND * (below[0] + 2))
    return float(np.mean((crossed - control)[2 : max(last, 3)]))


def _unexplained(
    outputs: typing.Sequence[np.ndarray],
    controls: typing.Sequence[np.ndarray],
    agreement: Curve,
    raw: np.ndarray,
    voxels_zyx: np.ndarray,
) -> tuple[float, float, Curve]:
    """Fraction of the outputs' shared power that the controls do not explain, its worst part, and its Curve. raw: power
    of the half-maps in each shell.

    The squared correlation of outputs and controls, freed of the noise of single halves, is the part of the outputs'
    shared power that the data explain; the rest was added."""
    power = lambda a, b: shell_sums(a, b, voxels_zyx)
    both, data = power(*outputs), power(*controls)
    through = (power(outputs[0], controls[1]) + power(outputs[1], controls[0])) / 2
    product = np.maximum(data, 0) * np.maximum(both, 0)
    fraction = np.where(product > 0, 1 - through**2 / np.maximum(product, 1e-30), 0.0)
    use = (agreement.value > AGREED) & (np.arange(len(both)) >= 2) & (product > 0)
    total = float(both[use].sum())
    unexplained = float((fraction[use] * both[use]).sum() / total) if total > 0 else 0.0
    fraction, left = np.clip(fraction, 0, 1), use & (both > EMPTIED * raw * (both / raw)[use].max(initial=0))
    sums = [np.convolve(values, np.ones(SPAN), "valid") for values in (fraction * both, both, left)]
    worst = float((sums[0] / np.maximum(sums[1], 1e-30))[sums[2] > SPAN - 0.5].max(initial=0))
    return float(np.clip(unexplained, 0, 1)), worst, Curve(agreement.frequency, fraction)
