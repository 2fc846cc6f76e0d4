# SPDX-License-Identifier: GPL-3.0-or-later
"""pick.json: what the candidates of a folder of picks depend on. Runs that share a folder agree by it. asked.json
beside the candidates: what a run said of the micrographs that it asked for size and contrast. A run that was stopped
and is continued does not ask again, and does not forget its warnings."""

import dataclasses
import json
import os
import typing
from pathlib import Path

from ...contract import PickConfig, counted, write_json
from ...io.files import read_kept
from ...io.micrographs import BINNED
from ...io.stamps import stamp_of
from .predict import Picker

ASKED = "asked.json"


def earlier_notes(folder: Path, named: typing.Iterable[tuple[str, str]]) -> list[str]:
    """Sentences that were said of these micrographs when they were asked. named: (name, file)."""
    known = _stamps(named)
    return list(dict.fromkeys(n for one in _read(folder) if _unchanged(one, known) for n in one["notes"]))


def are_asked(folder: Path, named: typing.Iterable[tuple[str, str]]) -> bool:
    """Whether all of these micrographs, with their files as they are, belong to runs that have asked some of theirs."""
    known = _stamps(named)
    return set(known) <= {name for one in _read(folder) for name in _unchanged(one, known)}


def note_asked(folder: Path, named: typing.Iterable[tuple[str, str]], notes: typing.Sequence[str]) -> None:
    """Store the sentences of a run on these micrographs."""
    stamps = _stamps(named)
    write_json(folder / ASKED, [*_read(folder), dict(micrographs=list(stamps), stamps=stamps, notes=list(notes))])


def _stamps(named: typing.Iterable[tuple[str, str]]) -> dict[str, str | None]:
    """{name: stamp of the file}, None for one that is not there."""
    return {name: stamp_of(path) for name, path in named}


def _unchanged(one: dict[str, typing.Any], known: dict[str, str | None]) -> set[str]:
    """The known micrographs of one entry whose files are the same. Older entries do not tell; a lost file counts."""
    return {
        name
        for name in known.keys() & set(one["micrographs"])
        if known[name] is None or one["stamps"].get(name) in (None, known[name])
    }


def _read(folder: Path) -> list[dict[str, typing.Any]]:
    try:
        return [
            dict(micrographs=one["micrographs"], stamps=dict(one.get("stamps", {})), notes=one["notes"])
            for one in json.loads((folder / ASKED).read_text(encoding="utf-8"))
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # asking again costs time alone
        return []


RECORD = "pick.json"
CANDIDATES = "candidates"  # folder beside it
AVOIDED = "avoided"  # another one: the areas of each micrograph where nothing was picked, for windows
# What runs on one folder find, and what follows from the model.
_NO_DIFFERENCE = "weights_sha256 contrast assumed general adapted size distance_part tells_size narrow asked".split()
# Micrographs that are asked for contrast and calibration: one may be empty or carbon, and each costs as much as picking
# it twice. What fewer tell binds no later ones.
ASKED_OF = 5
FEW = (
    "Size, contrast and scores were those of {told}; they are estimated anew with those that came, and all that are "
    "given are picked again."
)
OTHER_BINNING = "If they are of micrographs of another binning, give those."
APART = "They cannot be compared so: pick all sets on micrographs of the same pixel size."
BEFORE = {"avoid": "nothing", "keep_diameter": False}  # of records that older versions wrote


@dataclasses.dataclass(frozen=True)
class PickSettings:
    """All that candidates depend on beside the micrographs. Lengths in Å.

    contrast: 'dark', 'bright', or None as long as the micrographs have not been asked. assumed: True if it is only the
    usual one because they did not show it clearly; then a run on further micrographs asks those. general: of the model;
    its scores are calibrated on the micrographs. adapted: dict of Adapted, or None as long as that was not
    possible. particle_diameter, minimum_distance: None where they follow from the size that is found. distance_part: of
    the diameter, between two picks. tells_size: of the model. size: dict of pickers.size.Size, or None as long as none
    was found. avoid: one of contract.AVOIDABLE. narrow: the model's, of pickers.narrow; None in folders that were begun
    without it. keep_diameter: whether the stated one holds whatever the micrographs show. asked: files of the
    micrographs that told contrast and calibration; None in folders of older versions."""

    weights_sha256: str
    pixel_size: float
    particle_diameter: float | None
    minimum_distance: float | None
    border: float
    contrast: str | None
    assumed: bool = False
    general: bool = False
    adapted: dict | None = None
    distance_part: float = 0.5
    tells_size: bool = False
    size: dict | None = None
    avoid: str = "nothing"
    narrow: tuple | None = None
    keep_diameter: bool = False
    asked: typing.Sequence[str] | None = None

    def tell(self, picker: Picker) -> None:
        """Let a picker take the candidates' widths into account, if the particles' size is known."""
        from .thresholds import Narrow

        picker.narrow, picker.typical_size = Narrow(*self.narrow) if self.narrow else None, self.typical_size

    @property
    def typical_size(self) -> float | None:
        """Widest extent of the particles over `scale`; None where no size was found."""
        return None if self.size is None or self.scale is None else self.size["diameter"] / self.scale

    @property
    def scale(self) -> float | None:
        """Å: the diameter that micrographs are rescaled for, None as long as there is none. A stated one is where the
        search begins: published ones are a fifth wider or narrower than what a network finds most particles at."""
        return self.particle_diameter if self.size is None or self.keep_diameter else self.size["diameter"]

    @property
    def distance(self) -> float:
        """Å between two picks."""
        if self.minimum_distance is not None:
            return self.minimum_distance
        return self.distance_part * typing.cast("float", self.scale)  # nothing is picked as long as there is none

    @property
    def size_open(self) -> bool:
        """True if the micrographs must be asked for the particles' size."""
        return self.general and self.tells_size and self.size is None and not self.keep_diameter

    @property
    def contrast_open(self) -> bool:
        """True if the micrographs must be asked for the contrast."""
        return self.contrast is None or self.assumed

    @property
    def open(self) -> bool:
        """True if the micrographs must be asked for anything."""
        return self.contrast_open or self.size_open or (self.general and self.adapted is None) or self.of_few

    @property
    def of_few(self) -> bool:
        """True if too few micrographs were asked to bind those that came since."""
        return self.adapted is not None and self.asked is not None and len(self.asked) < ASKED_OF

    def with_found(self, found: typing.Mapping[str, typing.Any]) -> "PickSettings":
        """These settings with what another run found on its micrographs. found: dict of its record; older ones have no
        contrast, and all was dark."""
        return dataclasses.replace(
            self,
            contrast=found.get("contrast", "dark"),
            assumed=found.get("assumed", False),
            adapted=found.get("adapted"),
            size=found.get("size"),
            narrow=found.get("narrow"),
            asked=found.get("asked"),
        )


# The parameters that all candidates of a folder have in common.
BINDING = {f.name for f in dataclasses.fields(PickSettings)} - {*_NO_DIFFERENCE} | {"weights_sha256"}


def settle(config: PickConfig, card: typing.Mapping[str, typing.Any], model: Path) -> PickSettings:
    """PickSettings of a PickConfig and a model's card. model: its folder, for the message. Raises ValueError if a
    general model that cannot find the size is used without a particle diameter."""
    general, tells_size = card.get("general", False), card.get("tells_size", False)
    if config.particle_diameter is None and general and not tells_size:
        raise ValueError(
            f"Particle diameter (--particle-diameter) is missing. The model {model} is a general model without a "
            "particle diameter, and micrographs are rescaled by the diameter. Give the diameter of the smallest "
            "circle around the particle, in Å."
        )
    diameter = config.particle_diameter or (None if general else card["particle_diameter"])
    distance = config.minimum_distance
    if distance is None and not tells_size:
        distance = card["minimum_distance"] * diameter
    return PickSettings(
        card["weights_sha256"],
        config.pixel_size,
        diameter,
        distance,
        config.border,
        config.contrast if config.contrast != "auto" else None if general else typical_contrast(card),
        general=general,
        distance_part=card["minimum_distance"],
        tells_size=tells_size,
        avoid=config.avoid,
        narrow=card.get("narrow"),
        keep_diameter=config.keep_diameter,
    )


def typical_contrast(card: typing.Mapping[str, typing.Any]) -> str:
    """The contrast that a model learnt, 'dark' or 'bright'."""
    return card.get("contrast", "dark")


def agree_with_folder(
    folder: Path,
    mine: PickSettings,
    overwrite: bool,
    replaced: typing.Collection[str] = (),
    notes: list[str] | None = None,
) -> PickSettings:
    """The same settings, with what the folder's earlier runs found of contrast, size and scores, if they leave it open.
    folder: Path of the picks. replaced: micrographs whose candidates do not count any more. notes: sentences for the
    user are added. A record of another run goes, if it has other parameters and `overwrite`, or if no other candidates
    are there: a run with a wrong pixel size, say, leaves only the record, which binds nobody. Raises ValueError if the
    folder holds candidates found with other settings."""
    record, notes = folder / RECORD, [] if notes is None else notes
    if not (found := record_of(str(folder))):
        return mine
    kept = {path.stem for path in (folder / CANDIDATES).glob("*.star")} - set(replaced)
    other = list(_differences(found, mine))
    if other and kept and not overwrite:
        raise ValueError(
            f"{folder} has picks made with other parameters: {'; '.join(other)}. Choose another --output, or "
            "--overwrite to pick these micrographs again."
        )
    if other and kept:
        notes.append(
            f"{folder} has picks of {counted(len(kept), 'other micrograph')} made with other parameters: "
            f"{'; '.join(other)}. To pick those again too, repeat the command with all micrographs and --overwrite."
        )
    if other or ((replaced or overwrite) and not kept):
        record.unlink(missing_ok=True)
        (folder / CANDIDATES / ASKED).unlink(missing_ok=True)
        return mine
    if not mine.open:
        return mine
    if replaced and any(found.get(key) for key in ("contrast", "size", "adapted")):
        notes.append(
            f"{counted(len(replaced), 'micrograph')} {'is' if len(replaced) == 1 else 'are'} picked again with the "
            "size, contrast and score calibration that were estimated before on the files of that time. To estimate "
            "them anew, pick all micrographs with --overwrite."
        )
    return mine.with_found(found)


def _differences(found: typing.Mapping[str, typing.Any], mine: PickSettings) -> typing.Iterator[str]:
    """Phrases about what differs. found: dict of a record; older ones have no contrast, and all was dark."""
    for key, value in dataclasses.asdict(mine).items():
        if key == "weights_sha256" and found.get(key) != value:
            yield "another model"
        elif key == "contrast" and value and found.get(key, "dark") != value:
            yield f"contrast {found.get(key, 'dark')} (now {value})"
        elif key not in _NO_DIFFERENCE and found.get(key, BEFORE.get(key)) != value:
            yield f"{key.replace('_', ' ')} {found.get(key, BEFORE.get(key))} (now {value})"


def record_of(folder: str) -> dict[str, typing.Any]:
    """What a folder of picks notes of how they were made; nothing without a record."""
    record = Path(folder) / RECORD
    return read_kept(record) if record.is_file() else {}


def diameter_of_picks(folder: str) -> float:
    """Å: the diameter that a folder of picks was made with. Raises ValueError if it has no record of one."""
    found = record_of(folder)
    size = None if found.get("keep_diameter") else found.get("size")
    if diameter := size["diameter"] if size else found.get("particle_diameter"):
        return diameter
    raise ValueError(f"{folder} does not tell the particle diameter; give it in Å (--particle-diameter).")


def notes_of_picks(folder: str, contrast: str, pixel_size: float) -> list[str]:
    """Sentences where a folder of picks was made with the other contrast than the stated one, or of micrographs of
    another binning. pixel_size: Å/px, stated."""
    found, notes = record_of(folder), list[str]()
    if not found.get("assumed") and found.get("contrast") not in (None, contrast):
        notes.append(
            f"The picks of {folder} are of {found['contrast']} protein, and Contrast (--contrast) is {contrast}: "
            f"protein becomes dark in the particles. Give --contrast {found['contrast']}."
        )
    return notes + other_binning([folder], pixel_size, "Give the micrographs that were picked.")


def other_binning(folders: typing.Iterable[str | None], pixel_size: float, advice: str = APART) -> list[str]:
    """Sentences about folders of picks that were made on micrographs of another binning. pixel_size: Å/px, stated."""
    found = [(folder, record_of(folder).get("pixel_size", pixel_size)) for folder in folders if folder]
    return [
        f"The picks of {folder} are pixels of micrographs of {size:g} Å/px, and Pixel size (--pixel-size) is "
        f"{pixel_size:g} Å/px. {advice}"
        for folder, size in found
        if not 1 / BINNED < size / pixel_size < BINNED
    ]


def record_settings(folder: Path, mine: PickSettings) -> PickSettings:
    """Write the settings into the folder, unless another run was first; returns those that hold. Runs that start
    together on one folder may find different contrasts on their own micrographs; the first clear one is everybody's."""
    record, temporary = folder / RECORD, folder / f".{RECORD}.{os.getpid()}.mine"
    write_json(temporary, dataclasses.asdict(mine))
    try:
        os.link(temporary, record)  # unlike a rename, this never replaces
    except FileExistsError:
        theirs = mine.with_found(read_kept(record))
        if (
            (not theirs.assumed or mine.assumed)
            and all(getattr(theirs, key) or not getattr(mine, key) for key in ("adapted", "size"))
            and (not theirs.of_few or len(mine.asked or ()) <= len(theirs.asked or ()))
        ):
            return theirs
        os.replace(temporary, record)
    except OSError:  # a file system without hard links
        os.replace(temporary, record)
    finally:
        temporary.unlink(missing_ok=True)
    return mine
