# SPDX-License-Identifier: GPL-3.0-or-later
"""Drawings on matplotlib figures, without windows, so that tests can look at them."""

import collections
import os
import re
from typing import Any, Dict, List, Optional, Sequence, Tuple

import mrcfile
import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.patches import Circle
from matplotlib.ticker import MaxNLocator

from ..convert.reading import mapped, readNumbers
from ..engine.cryodl.contract import absent, best_round, score_text

# More pixels than a window shows only make it slow.
LARGEST_SIDE = 1000
# Hot pixels and holes must not decide the contrast.
_DARKEST, _BRIGHTEST = 0.5, 99.5

# pixels: (h, w) float in [0, 1], row 0 first; binning: micrograph px per preview px; width, height: micrograph px
Preview = collections.namedtuple("Preview", "pixels binning width height")


def loadPreview(path: str, largestSide: Any = LARGEST_SIDE) -> Any:
    """Preview of a micrograph file, averaged over blocks and stretched between percentiles.

    Raises FileNotFoundError, or ValueError that names the file."""
    if not os.path.exists(path):
        raise FileNotFoundError(f"The micrograph {path} {absent(path)}.")
    try:
        image = readImage(path)
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(f"The micrograph {path} cannot be read: {error}") from None
    height, width = image.shape
    return Preview(stretch(shrunk(image, largestSide)), _block(image, largestSide), width, height)


def readImage(path: str) -> Any:
    """The (h, w) array of a micrograph file, rows as coordinates count them. Raises OSError or ValueError."""
    if path.lower().endswith((".tif", ".tiff")):
        import tifffile

        image = tifffile.imread(path)[..., ::-1, :]  # coordinates count rows from the last one, as RELION (frames.py)
    else:
        with (mrcfile.open if path.lower().endswith((".gz", ".bz2")) else mrcfile.mmap)(path, permissive=True) as mrc:
            image = mrc.data
    if image is None:
        raise ValueError("it contains no image")
    # a stack of frames, or a micrograph saved as a volume of one slice
    while image.ndim > 2:
        image = image[0]
    return image


def _block(image: np.ndarray, side: int) -> int:
    """Px of an image that become one, so that no side is longer than `side` px."""
    return max(1, -(-max(image.shape) // side))


def shrunk(image: np.ndarray, side: int) -> Any:
    """Mean of blocks, so that no side is longer than `side` px; the last incomplete ones are left out. float32."""
    block = _block(image, side)
    height, width = (length // block * block for length in image.shape)
    blocks = image[:height, :width].reshape(height // block, block, width // block, block)
    return blocks.mean(axis=(1, 3), dtype=np.float32)


def stretch(image: np.ndarray) -> np.ndarray:
    """Values between two percentiles spread over [0, 1]; a flat or empty image becomes grey."""
    return stretchedTo(image, percentilesOf(image))


def percentilesOf(image: np.ndarray) -> Tuple[float, float]:
    """(black, white): values between which a picture is stretched."""
    finite = image[np.isfinite(image)]
    return tuple(np.percentile(finite, [_DARKEST, _BRIGHTEST])) if finite.size else (0, 0)


def stretchedTo(image: np.ndarray, limits: Tuple[float, float]) -> np.ndarray:
    """Values from black to white spread over [0, 1]; all grey if these are the same. limits: of percentilesOf."""
    low, high = limits
    if not high > low:
        return np.full(image.shape, 0.5, np.float32)
    return np.clip((np.nan_to_num(image, nan=low) - low) / (high - low), 0, 1)


TILE = 512  # px: large enough for coarse detail, small enough to average over many


def tilesPower(image: np.ndarray, side: int, rows: Any, columns: Any) -> Any:
    """(side, side // 2 + 1) sum of the power spectra of square tiles of an (h, w) image under a Hann window, as rfft2
    orders them. rows, columns: where tiles begin, px."""
    window, total = np.outer(np.hanning(side), np.hanning(side)), np.zeros((side, side // 2 + 1))
    for y in rows:
        for x in columns:
            tile = np.nan_to_num(np.asarray(image[y : y + side, x : x + side], np.float32))
            total = total + np.abs(np.fft.rfft2((tile - tile.mean()) * window)) ** 2
    return total


def label(
    axes: Axes, x: str, y: str = "", whole: str = "", grid: bool = False, legend: Any = None, **more: Any
) -> None:
    """Words of a drawing, and a legend if curves have names. whole: 'x', 'y': axes with whole numbers. legend: what
    matplotlib's legend takes. more: what its set takes."""
    axes.set(xlabel=x, ylabel=y, **more)
    for name in whole:
        getattr(axes, f"{name}axis").set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if grid:
        axes.grid(alpha=0.3)
    if axes.get_legend_handles_labels()[1]:
        axes.legend(**(legend or {}))


def labelSphere(axes: Axes) -> None:
    """Of directions, on an equal-area map: the pole z (tilt 0) is on top. axes: of the projection 'mollweide'."""
    axes.grid(alpha=0.25)
    axes.set_xticklabels([])
    axes.set_yticks(np.deg2rad([-60, -30, 0, 30, 60]), [f"{tilt}°" for tilt in (150, 120, 90, 60, 30)])


PICK_COLOUR = "#19e57b"
_TRAINING, _VALIDATION, _METRIC = "#4477aa", "#cc6677", "#228833"
# Of curves that have none; a panel's own are left out, so that no two look alike.
_COLOURS = (_TRAINING, _METRIC, "#ccbb44", "#aa3377", "#66ccee", _VALIDATION, "#bbbbbb")


def readMetrics(path: str) -> Dict[str, Any]:
    """{column: (n,) array} of metrics.csv; {} if it has no metrics yet. An unfinished last line is left out."""
    rows = readNumbers(path)
    return {name: np.array([row[name] for row in rows], float) for name in (rows[0] if rows else ())}


# Columns of metrics.csv in words, and colours; validation metrics of later methods get their own name.
_METRICS = {
    "validation_f1": ("F1", _METRIC),
    "validation_average_precision": ("average precision", _VALIDATION),
    "validation_frc": ("mean FRC with the ground truth", _METRIC),
    "validation_frc_raw": ("of the raw images", _VALIDATION),
    "validation_correlation": ("correlation with the targets", _METRIC),
    "validation_wiener_correlation": ("of the Wiener filter", None),
    "validation_correlation_before": ("of the original maps", _VALIDATION),
    "validation_q_score": ("Q-score", None),
    "validation_q_score_before": ("Q-score of the original maps", None),
}
_LOSSES = {
    "train_loss": ("training", _TRAINING),
    "validation_loss": ("validation", _VALIDATION),
    "train_atoms": ("training: 1 - Q-score", None),
    "train_presence": ("training: presence", None),
}
# A method with a discriminator has losses of several kinds.
_LOSS_COLUMNS = re.compile("train_|validation_loss$")


def drawCurves(figure: Figure, metrics: Dict[str, np.ndarray]) -> None:
    """Losses on the left, validation metrics on the right. figure: matplotlib figure, or a part of one."""
    figure.clear()
    left, right = figure.subplots(1, 2)
    losses = {name: _LOSSES.get(name, (name.replace("_", " "), None)) for name in metrics if _LOSS_COLUMNS.match(name)}
    validations = {
        name: _METRICS.get(name, (name[len("validation_") :].replace("_", " "), None))
        for name in metrics
        if name.startswith("validation_") and name not in losses
    }
    for axes, title, curves in ((left, "Loss", losses), (right, "On the validation data", validations)):
        taken = {colour for _, colour in curves.values()}
        axes.set_prop_cycle(color=[colour for colour in _COLOURS if colour not in taken])
        for column, (words, colour) in curves.items():
            known = np.isfinite(metrics[column])
            axes.plot(metrics["step"][known], metrics[column][known], ".-", label=words, color=colour)
        small = dict(fontsize="small" if len(curves) > 3 else None)
        label(axes, "Training step", whole="x", grid=True, legend=small, title=title)
        # measured once: a denoiser without training steps, or the first validation
        if len(metrics.get("step", ())) == 1:
            axes.set_xticks(metrics["step"])
    right.set_ylim(0, 1.02)
    if not metrics:
        left.text(0.5, 0.5, "No metrics yet", ha="center", transform=left.transAxes)


def drawTraining(figure: Any, metrics: Dict[str, np.ndarray], sample: Any = None) -> None:
    """The curves, and below them a picture, of what was kept for validation. sample: its path, None for none."""
    figure.clear()
    if sample is None:
        drawCurves(figure, metrics)
        figure.tight_layout()
    elif not metrics:  # nothing was learnt by steps
        drawPicture(figure, sample)
    else:
        above, below = figure.subfigures(2, 1, height_ratios=(1, 1.2))
        drawCurves(above, metrics)
        above.subplots_adjust(left=0.08, right=0.98, bottom=0.18, top=0.9)
        drawPicture(below, sample)


def drawPicture(figure: Figure, path: str) -> None:
    """A picture file over the whole figure, in its own proportions."""
    figure.clear()
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(imread(path), interpolation="antialiased")
    axes.set_axis_off()


def drawMicrograph(axes: Any, preview: Any, upwards: bool = False) -> None:
    """The micrograph in its own pixels, row 0 on top, or upwards as tomograms are shown; without ticks."""
    axes.clear()
    axes.set_axis_off()
    height, width = preview.pixels.shape
    # a preview pixel covers `binning` pixels; the first pixel's centre is (0, 0)
    extent = (-0.5, width * preview.binning - 0.5, height * preview.binning - 0.5, -0.5)
    axes.imshow(preview.pixels, cmap="gray", vmin=0, vmax=1, extent=extent, interpolation="bilinear")
    if upwards:
        axes.invert_yaxis()
    axes.autoscale(False)  # what is drawn over it changes nothing of what is seen


def drawBeside(panels: Sequence[Axes], previews: Sequence[Preview], upwards: bool = False) -> None:
    """Previews before and after denoising. panels: two axes. upwards: see drawMicrograph."""
    for axes, preview, title in zip(panels, previews, ("Original", "Denoised")):
        drawMicrograph(axes, preview, upwards)
        axes.set_title(title)


def view(axes: Any, preview: Any, centre: Any, span: Any) -> None:
    """Show `span` px of the micrograph around centre (x, y), moved inside; the whole if it is not larger."""
    down = axes.yaxis_inverted()
    for size, middle, setLimits in (
        (preview.width, centre[0], axes.set_xlim),
        (preview.height, centre[1], lambda *limits: axes.set_ylim(limits[::-1] if down else limits)),
    ):
        half = min(span, size) / 2
        middle = min(max(middle, half), size - half)
        setLimits(middle - half - 0.5, middle + half - 0.5)


def drawCircles(axes: Axes, circles: Any, colours: Any = PICK_COLOUR, filled: Any = "none", width: float = 1.2) -> None:
    """circles: (n, 3) x, y, radius. colours: of the edges, of all or of each. filled: colours inside."""
    look: Any = dict(facecolors=filled, edgecolors=colours, linewidths=width)
    axes.add_collection(PatchCollection([Circle((x, y), r) for x, y, r in circles], **look), autolim=False)


def drawPicks(axes: Axes, picks: Sequence[Any], diameter: float) -> None:
    """Circles around picks. picks: (n, 2 or more) x, y. diameter: px."""
    drawCircles(axes, [(pick[0], pick[1], diameter / 2) for pick in picks])


def drawHistogram(axes: Any, scores: Any, threshold: Any) -> None:
    axes.hist(scores, bins=np.linspace(0, 1, 51), color=_TRAINING)
    axes.axvline(threshold, color=_VALIDATION, linestyle="--", label=f"threshold {score_text(threshold)}")
    label(axes, "Score", "Picks and other candidates", title=f"Scores of {len(scores)} candidates")
    if len(scores) and np.histogram(scores, 50, (0, 1))[0].max() > 20 * max(1, np.sum(scores >= threshold)):
        axes.set_yscale("log")  # many weak candidates would hide the few picks


def drawPerMicrograph(axes: Any, counts: Any, names: Sequence[str]) -> None:
    axes.bar(np.arange(1, len(counts) + 1), counts, width=0.9, color=_TRAINING)
    if len(counts):
        axes.axhline(np.mean(counts), color=_VALIDATION, linestyle="--", label=f"mean {np.mean(counts):.1f}")
    label(axes, "Micrograph, in the set's order", "Picks", whole="xy", title=f"{counts.sum()} picks")
    if len(names) <= 20:  # more have no room
        axes.set_xticks(range(1, len(names) + 1), [shortened(name) for name in names], rotation=20, ha="right")


def drawRounds(axes: Axes, rounds: Sequence[Dict[str, Any]]) -> None:
    """How well each round of automatic picking tells picks from background, and its picks. rounds: of readRounds."""
    numbers, separations = zip(*((entry["round"], entry.get("separation")) for entry in rounds))
    axes.plot(numbers, np.array(separations, float), "o-", color=_METRIC, label="separation")
    above: Any = dict(xytext=(0, 8), textcoords="offset points", ha="center")
    for entry in rounds:
        if entry.get("picks") is not None and entry.get("separation") is not None:
            axes.annotate(f"{entry['picks']:.0f} picks", (entry["round"], entry["separation"]), **above)
    axes.axvline(best_round(rounds), color=_VALIDATION, linestyle="--", label="best round")
    axes.margins(x=0.15, y=0.25)
    separation = "Separation of picks and background\n(standard deviations, held-out micrographs)"
    label(axes, "Round (0: the first model)", separation, whole="x", grid=True)


def shortened(name: str, maximum: int = 22) -> str:
    return name if len(name) <= maximum else name[: maximum - 3] + "..."


def drawMatrix(axes: Axes, values: Any, texts: Any, rows: Any, columns: Any, cmap: str, black: Any) -> None:
    """Values from 0 to 1 as colours with texts on them. black: whether each text is black, else it is white. rows,
    columns: names. All are arrays of the same shape."""
    axes.imshow(values, cmap=cmap, vmin=0, vmax=1)
    for (row, column), text in np.ndenumerate(texts):
        axes.text(column, row, text, ha="center", va="center", color="black" if black[row, column] else "white")
    axes.set_xticks(range(len(columns)), map(shortened, columns), rotation=30, ha="right")
    axes.set_yticks(range(len(rows)), map(shortened, rows))


AXES = (("z", "x", "y"), ("y", "x", "z"), ("x", "y", "z"))  # across which a slice is, and what runs right and up on it
MARK = "#cc6677"


def readMap(path: str, stack: bool = False) -> Any:
    """(d, h, w) map, read from the disk as it is needed. stack: (n, d, h, w), a stack of them.

    Raises FileNotFoundError, ValueError that name the file."""
    try:
        data = mapped(path.split(":")[0])
    except FileNotFoundError:
        raise FileNotFoundError(f"The map {path} {absent(path)}.") from None
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(f"The map {path} cannot be read: {error}") from None
    if data is None or data.ndim != 3 + stack:
        found = "no" if data is None else data.ndim
        raise ValueError(f"{path} is not a map: it has {found} dimensions, not {3 + stack}.")
    return data


BAR = "scale bar"  # name of the bar among what is drawn


def drawBar(axes: Any, pixelSize: float, part: Any = (0, 0, 1, 1)) -> None:
    """A scale bar in the lower right corner of what is seen; replaces that of an earlier call. pixelSize: Å/px. part:
    left, bottom, width and height of the part of it that the corner is of."""
    for old in [artist for artist in (*axes.lines, *axes.texts) if artist.get_gid() == BAR]:
        old.remove()
    left, bottom, width, height = part
    seen = abs(axes.get_xlim()[1] - axes.get_xlim()[0]) * pixelSize * width
    # 1, 2 or 5 times a power of ten, at most a third of what is seen, or half of a part: its words need room
    most, lengths = seen / (3 if width == 1 else 2), [x * 10.0**power for power in range(-1, 6) for x in (1, 2, 5)]
    length = max((length for length in lengths if length <= most), default=most)
    # a black edge is seen on any grey
    edge: Any = dict(path_effects=[patheffects.withStroke(linewidth=3, foreground="black")], gid=BAR, zorder=5)
    ends, y = [left + width * x for x in (0.97 - length / seen, 0.97)], bottom + 0.035 * height
    axes.plot(ends, (y, y), linewidth=3, color="white", transform=axes.transAxes, **edge)
    axes.annotate(
        f"{length:g} Å",
        (sum(ends) / 2, y),
        (0, 3),
        xycoords="axes fraction",
        textcoords="offset points",
        ha="center",
        va="bottom",
        color="white",
        fontsize=11 if width == 1 else 8,
        **edge,
    )


def drawFsc(axes: Axes, curves: Any, pixelSize: float, box: int, *marked: Any, **words: Any) -> None:
    """As drawFscAt, of curves whose rings begin with 0. pixelSize: Å/px. box: px."""
    longest = max([2] + [len(values) for values in curves.values()])
    drawFscAt(axes, np.arange(longest) / (box * pixelSize), curves, *marked, **words)


def drawFscOfMap(axes: Axes, made: Any, comment: str = "") -> None:
    """The curve of a map's halves, and of noise if asked. made: the outputs. comment: why it tells no resolution."""
    curves = {"half-maps": made.fsc, "noise alone": getattr(made, "noise_fsc", None)}
    known = {name: curve for name, curve in curves.items() if curve}
    drawFsc(axes, known, made.pixel_size, made.box, None if comment else made.resolution)
    axes.set_title(comment or f"{made.count} particles", fontsize=10)


def drawFscAt(
    axes: Axes,
    frequencies: Any,
    curves: Dict[str, List[float]],
    resolution: Optional[float] = None,
    thresholds: Tuple[float, float] = (0.143, 0.5),
) -> None:
    """Fourier shell correlation curves. curves: {label: values}. frequencies: 1/Å of the values, the first of which is
    that at 0. resolution: Å, marked."""
    for name, values in curves.items():
        axes.plot(frequencies[1 : len(values)], values[1:], label=name)
    right: Any = dict(xycoords=("axes fraction", "data"), ha="right", va="bottom", fontsize=8)
    for threshold in thresholds:
        axes.axhline(threshold, color="grey", linestyle=":", linewidth=1)
        axes.annotate(f"{threshold:g}", (1, threshold), **right)
    if resolution:
        axes.axvline(1 / resolution, color=MARK, linestyle="--", label=f"{resolution:.3g} Å")
    limits: Any = dict(xlim=(0, frequencies[-1]), ylim=(-0.1, 1.05))
    label(axes, "Resolution (Å)", "Fourier shell correlation", grid=True, **limits)
    axes.xaxis.set_major_formatter(lambda frequency, position: f"{1 / frequency:.3g}" if frequency > 0 else "∞")


GOOD_COLOUR, BAD_COLOUR = "#228833", "#cc6677"


def drawAreas(axes: Axes, areas: Any, preview: Any) -> None:
    """Contaminated and carbon areas over a micrograph. areas: as AssessedMicrographs gives them, or None."""
    if areas is None:
        return
    colours = np.zeros((*areas.shape, 4))
    for kind, colour in {1: "#ee3333", 2: "#3366ee"}.items():  # contaminated, carbon
        colours[areas == kind] = to_rgba(colour, 0.35)
    axes.imshow(colours, extent=(-0.5, preview.width - 0.5, preview.height - 0.5, -0.5), interpolation="nearest")
