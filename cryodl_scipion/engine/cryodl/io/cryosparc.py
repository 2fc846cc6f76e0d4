# SPDX-License-Identifier: GPL-3.0-or-later
"""cryoSPARC's .cs files of particles and picks, as RELION's tables; and the rows of a selection as a .cs file again. A
.cs file is a structured array in numpy's format. Nothing is unpickled: arrays of objects, and cryoSPARC's compressed
format, are refused with a sentence. Positions count rows as they are in the micrograph's file, as cryosparc-tools does
with picks of crYOLO; flip_y turns them round."""

import glob
import os
import typing

import numpy as np
from scipy.spatial.transform import Rotation

from ..contract.reading import absent, reader
from . import files, messages
from .coordinates3d import angles_of
from .texts import Texts

UNCORRECTED = "which are not corrected here, so detail finer than about 5 Å matches less well."
UID = "ucsfUid"  # column of a particle's uid; csparc2star.py calls it so
SUFFIX = ".cs"
_COMPRESSED = b"CSDAT"  # after one byte
_HEADER = 100_000  # bytes; numpy takes 10,000 unless told, too few for files with many fields
_IMAGE, _PLACE, _SHAPE = "blob/path", "location/center_x_frac", "location/micrograph_shape"
_PASSTHROUGH = "*passthrough*" + SUFFIX
# RELION's optics, and the field of each
_OPTICS = {
    "rlnVoltage": "ctf/accel_kv",
    "rlnSphericalAberration": "ctf/cs_mm",
    "rlnAmplitudeContrast": "ctf/amp_contrast",
    "rlnImagePixelSize": "blob/psize_A",
}
_GROUP = "ctf/exp_group_id"
_ABERRATIONS = ("ctf/tilt_A", "ctf/trefoil_A", "ctf/tetra_A", "ctf/anisomag")  # of the last: what it differs from 1 by
_SCORES = ("pick_stats/ncc_score", "pick_stats/power")


def is_cryosparc(path: str | os.PathLike[str]) -> bool:
    """Whether a file is called as cryoSPARC's are."""
    return str(path).lower().endswith(SUFFIX)


@reader
def read_cs(path: str | os.PathLike[str]) -> np.ndarray:
    """The structured array of a .cs file, by memory map. (n,), with the field uid. Raises FileNotFoundError, or
    ValueError that names the file and what it is instead."""
    try:
        with open(path, "rb") as file:
            start = file.read(1 + len(_COMPRESSED))
        if start[1:] == _COMPRESSED:
            raise ValueError(
                f"{path} is in cryoSPARC's compressed format, which is not read. Save it in numpy's: "
                "Dataset.load(path).save(path, format=1) of cryosparc-tools, or export the particles in cryoSPARC."
            )
        # a map is as long as its header says, so a header that says too much is found out before memory is taken
        try:
            found = np.lib.format.open_memmap(path, mode="r", max_header_size=_HEADER)
        except ValueError as error:
            raise ValueError(f"{path} is damaged, or no .cs file ({error}). Copy or export it again.") from None
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} {absent(path)}.") from None
    except IsADirectoryError:
        raise ValueError(f"{path} is a folder; a .cs file is needed.") from None
    if not found.size:
        raise ValueError(f"{path} has no rows.")
    if found.dtype.names is None or found.ndim != 1 or "uid" not in found.dtype.names:
        raise ValueError(f"{path} is no .cs file: it has no field uid. Give the particles or picks of a cryoSPARC job.")
    return found


def with_passthrough(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """All fields of a .cs file's rows, with those of the passthrough file of its job where one lies beside it.
    cryoSPARC keeps in it what a job did not change: micrographs and places, or the CTF. {field: array (n, ...)}, in the
    file's order of rows. Raises FileNotFoundError or ValueError as read_cs, and ValueError if such a file has only a
    part of the particles."""
    rows = read_cs(path)
    fields = {name: rows[name] for name in typing.cast("tuple[str, ...]", rows.dtype.names)}
    for other in sorted(glob.glob(os.path.join(glob.escape(os.path.dirname(str(path))), _PASSTHROUGH))):
        if os.path.realpath(other) == os.path.realpath(path):
            continue
        more = read_cs(other)
        order = np.argsort(more["uid"], kind="stable")
        place = np.minimum(np.searchsorted(more["uid"], rows["uid"], sorter=order), len(more) - 1)
        fits = more["uid"][order[place]] == rows["uid"]
        if fits.any() and not fits.all():
            raise ValueError(
                f"{other} has only {fits.sum()} of the {len(rows)} particles of {path} (by their uid): it is of another"
                " exposure group or selection. Put the job's own there, or move it away."
            )
        if fits.all():
            for name in typing.cast("tuple[str, ...]", more.dtype.names):
                fields.setdefault(name, more[name][order[place]])
    return fields


def cryosparc_tables(path: str | os.PathLike[str], flip_y: bool = False) -> dict[str, dict[str, Texts]]:
    """RELION's tables of a .cs file of particles or picks, with the uid of each as the column ucsfUid. Angles are
    RELION's (alignments3D), shifts become rlnOriginX/YAngst, classes count from 1, optics groups are cryoSPARC's
    exposure groups, of either blob/sign apart (images are not multiplied by it). Beam tilt and higher aberrations are
    not in the tables. flip_y: count the micrographs' rows from their other end. Returns {'optics': ..., 'particles':
    {column: Texts}}; picks have no optics. Raises FileNotFoundError, or ValueError that names the file and the fields
    that it lacks, or whose values are no numbers."""
    fields = with_passthrough(path)
    if _IMAGE not in fields and _PLACE not in fields:
        raise ValueError(
            f"{path} has neither particles ({_IMAGE}) nor places on micrographs ({_PLACE}); its fields are "
            f"{', '.join(list(fields)[:8])}. Give the .cs file of particles or picks, with its passthrough file beside "
            "it."
        )
    found = _Fields(str(path), fields)
    columns: dict[str, Texts] = {}
    tables: dict[str, dict[str, Texts]] = {}
    if _IMAGE in fields:
        stacks = found.texts(_IMAGE)
        columns["rlnImageName"] = Texts.of(f"{n + 1:06d}@{s}" for n, s in zip(found.whole("blob/idx").tolist(), stacks))
    if _PLACE in fields:
        names, places = _places(found, flip_y)
        columns["rlnMicrographName"] = Texts.of(names)
        columns["rlnCoordinateX"], columns["rlnCoordinateY"] = _numbers(places[:, 0]), _numbers(places[:, 1])
    columns.update(_poses(found))
    if "ctf/df1_A" in fields:
        columns["rlnDefocusU"], columns["rlnDefocusV"] = (_numbers(found.real(f"ctf/df{n}_A")) for n in (1, 2))
        columns["rlnDefocusAngle"] = _numbers(np.degrees(found.real("ctf/df_angle_rad")))
        if "ctf/phase_shift_rad" in fields:
            columns["rlnPhaseShift"] = _numbers(np.degrees(found.real("ctf/phase_shift_rad")))
        if uncorrected := [name for name in _ABERRATIONS if name in fields and np.any(fields[name])]:
            messages.warn(f"{path} has {', '.join(uncorrected)}, {UNCORRECTED}")
    if _IMAGE in fields:
        tables["optics"], columns["rlnOpticsGroup"] = _optics(found)
    columns[UID] = Texts.of(map(str, found.whole("uid").tolist()))
    tables["particles"] = columns
    return tables


def cryosparc_picks(path: str | os.PathLike[str], flip_y: bool = False) -> tuple[list[str], np.ndarray]:
    """Micrographs of a .cs file's picks, and x, y, score of each. flip_y: count the micrographs' rows from their other
    end. Returns names (n,) as in the file, and values (n, 3): px, and a score that is larger for better picks, 0
    without one. Raises FileNotFoundError, or ValueError that names the file and the field that it lacks."""
    found = _Fields(str(path), with_passthrough(path))
    names, places = _places(found, flip_y)
    score = next((name for name in _SCORES if name in found.all), None)
    return names, np.column_stack([places, np.zeros(len(places)) if score is None else found.real(score)])


def cryosparc_shapes(path: str | os.PathLike[str]) -> tuple[list[str], list[list[int]]]:
    """Micrographs of a .cs file's picks (n,) as in the file, and (h, w) px of each. Raises as cryosparc_picks."""
    found = _Fields(str(path), with_passthrough(path))
    return found.texts("location/micrograph_path"), found.whole(_SHAPE, 2).tolist()


def write_cs_rows(source: str | os.PathLike[str], uids: typing.Iterable[str], target: str | os.PathLike[str]) -> None:
    """The rows of a .cs file whose uids are among some, with all their fields, as a .cs file; whole or not at all.
    uids: of the particles to keep, as in the column ucsfUid. Raises FileNotFoundError, or ValueError if the source does
    not have all of them."""
    wanted, rows = np.array([int(uid) for uid in uids], np.uint64), read_cs(source)
    kept = np.isin(rows["uid"], wanted)
    if kept.sum() != len(np.unique(wanted)):
        raise ValueError(
            f"{source} has only {kept.sum()} of the {len(np.unique(wanted))} particles of the selection (by their uid, "
            f"{UID}): it is the file of other particles. Give the .cs file that the particles were read from."
        )
    with files.whole_file(target) as temporary, open(temporary, "wb") as file:
        np.lib.format.write_array(file, np.asarray(rows[kept]), allow_pickle=False)


class _Fields:
    """The fields of a .cs file as numbers and texts; errors name file and field."""

    def __init__(self, path: str, fields: dict[str, np.ndarray]) -> None:
        self.path, self.all = path, fields

    def _of(self, name: str, width: int) -> np.ndarray:
        if name not in self.all:
            raise ValueError(
                f"{self.path} has no field {name}. Give a file with it, or put the job's passthrough file "
                f"({_PASSTHROUGH}) beside it."
            )
        if self.all[name].shape[1:] != ((width,) if width else ()):
            raise ValueError(f"{self.path}: the field {name} must have {width or 1} numbers for each row.")
        return self.all[name]

    def real(self, name: str, width: int = 0) -> np.ndarray:
        """(n,) or (n, width) float64. Raises ValueError for values that are no finite numbers."""
        values = self._of(name, width)
        if values.dtype.kind not in "fiub" or not np.isfinite(values).all():
            raise ValueError(f"{self.path}: the field {name} has values that are no finite numbers.")
        return values.astype(float)

    def whole(self, name: str, width: int = 0) -> np.ndarray:
        """(n,) or (n, width) integers."""
        values = self._of(name, width)
        if values.dtype.kind not in "iu":
            raise ValueError(f"{self.path}: the field {name} has values that are no whole numbers.")
        return np.asarray(values)

    def texts(self, name: str) -> list[str]:
        """(n,) names of files; cryoSPARC begins some with '>', which stands for the project's folder."""
        values = self._of(name, 0)
        if values.dtype.kind not in "SU":
            raise ValueError(f"{self.path}: the field {name} has values that are no names.")
        words = np.char.decode(values, "utf-8", "replace") if values.dtype.kind == "S" else values
        return [word.lstrip(">") for word in words.tolist()]


def _places(found: _Fields, flip_y: bool) -> tuple[list[str], np.ndarray]:
    """Names (n,) and x, y (n, 2) in px of the micrographs."""
    names, shape = found.texts("location/micrograph_path"), found.real(_SHAPE, 2)
    if not (shape > 0).all():
        raise ValueError(f"{found.path}: the field {_SHAPE} has sizes of 0 px.")
    x, y = found.real(_PLACE), found.real("location/center_y_frac")
    return names, np.column_stack([x * shape[:, 1], (1 - y if flip_y else y) * shape[:, 0]])


def _poses(found: _Fields) -> dict[str, Texts]:
    columns: dict[str, Texts] = {}
    kind = next((kind for kind in ("alignments3D", "alignments2D") if f"{kind}/shift" in found.all), None)
    if kind is None:
        return columns
    if kind == "alignments3D":
        # the rotation vector's matrix is RELION's Rz(rot) Ry(tilt) Rz(psi); cryoDRGN reads both so
        angles = angles_of(Rotation.from_rotvec(found.real("alignments3D/pose", 3)).as_matrix().transpose(0, 2, 1))
        columns.update((f"rlnAngle{n}", _numbers(v)) for n, v in zip(("Rot", "Tilt", "Psi"), angles.T))
    shifts = found.real(f"{kind}/shift", 2)
    size = found.real(f"{kind}/psize_A" if f"{kind}/psize_A" in found.all else "blob/psize_A")
    columns.update((f"rlnOrigin{axis}Angst", _numbers(v * size)) for axis, v in zip("XY", shifts.T))
    if f"{kind}/class" in found.all:
        columns["rlnClassNumber"] = Texts.of(str(n + 1) for n in found.whole(f"{kind}/class").tolist())
    if f"{kind}/split" in found.all:
        columns["rlnRandomSubset"] = Texts.of(str(n + 1) for n in found.whole(f"{kind}/split").tolist())
    return columns


def _optics(found: _Fields) -> tuple[dict[str, Texts], Texts]:
    needed = _OPTICS if "ctf/df1_A" in found.all else {"rlnImagePixelSize"}  # a defocus says nothing without the rest
    names = [name for name, field in _OPTICS.items() if field in found.all or name in needed]
    values, sides = [found.real(_OPTICS[name]) for name in names], found.whole("blob/shape", 2)
    group = found.whole(_GROUP) if _GROUP in found.all else np.zeros(len(sides), int)
    signs = found.real("blob/sign") if "blob/sign" in found.all else np.ones(len(sides))
    if np.ptp(signs):
        messages.warn(
            f"{found.path} has images of either sign (blob/sign: {(signs < 0).sum()} of {len(signs)} below 0), which "
            "are not multiplied by it here. If protein is bright in some and dark in others, take one kind."
        )
    rows, number = np.unique(np.column_stack([group, sides[:, 0], *values, signs]), axis=0, return_inverse=True)
    table = {
        "rlnOpticsGroupName": Texts.of(f"opticsGroup{n}" for n in range(1, len(rows) + 1)),
        "rlnOpticsGroup": Texts.of(str(n) for n in range(1, len(rows) + 1)),
        **{name: _numbers(rows[:, 2 + place]) for place, name in enumerate(names)},
        "rlnImageSize": Texts.of(str(int(side)) for side in rows[:, 1]),
        "rlnImageDimensionality": Texts.of(["2"] * len(rows)),
    }
    return table, Texts.of(str(n + 1) for n in number.reshape(-1).tolist())


def _numbers(values: np.ndarray) -> Texts:
    return Texts.of(f"{value:.6f}" for value in values.tolist())
