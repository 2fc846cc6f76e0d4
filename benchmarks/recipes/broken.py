# SPDX-License-Identifier: GPL-3.0-or-later
"""Valid files of each kind that the engine reads, mutations of them, and their readers as the commands call them."""

import copy
import gzip
import json
import re
import shutil
import struct
from pathlib import Path

import gemmi
import mrcfile
import numpy as np
import tifffile
import torch
from safetensors.torch import save_file

import cryodl
from cryodl.contract import PickConfig, Request, Result, annotations, check_model, sha256
from cryodl.contract.reading import star_head
from cryodl.io import (
    coordinate_files,
    coordinates,
    coordinates3d,
    files,
    micrograph_ctfs,
    micrographs,
    particle_positions,
    particle_sets,
    relion_tables,
    stacks,
    star,
    structures,
    subtomograms,
    tomogram_coordinates,
    tomograms,
    zarr_writer,
)
from cryodl.io.model import read_model
from cryodl.maps.improvers import pairs
from cryodl.maps.measures import atoms, volume
from cryodl.micrographs.byhand.questions import choose_questions, read_questions
from cryodl.micrographs.pickers.general import read_sets
from cryodl.particles.classes2d import earlier_classes, polar
from cryodl.particles.integrity.compositions import read_residues
from cryodl.simulate import states
from cryodl.tomograms.annotations import store

SIDE = 24  # px of the images and volumes
DEFOCUS = dict(rlnDefocusU=15000.0, rlnDefocusV=14000.0, rlnDefocusAngle=10.0)
MICROSCOPE = dict(rlnVoltage=300.0, rlnSphericalAberration=2.7, rlnAmplitudeContrast=0.1)
ANGLES = dict(rlnAngleRot=1.0, rlnAngleTilt=2.0, rlnAnglePsi=3.0)
GROUP = dict(rlnOpticsGroup=1, rlnOpticsGroupName="g", rlnImagePixelSize=3.0, rlnImageSize=SIDE)
TEXTS = {
    "a.box": "10 20 32 32 0.5\n30 40 32 32 0.25\n",
    "a.txt": "image_name\tx_coord\ty_coord\tscore\na\t10\t20\t0.5\na\t30\t40\t0.2\n",
    "a.cbox": star_head("cryolo", ("CoordinateX", "CoordinateY", "CoordinateZ", "Width", "Height", "Confidence"))
    + "10.0 12.0 <NA> 8.0 8.0 0.9\n3.5 4.5 <NA> 8.0 8.0 0.4\n\n",
    "pairs.csv": "map,structure,resolution\na.mrc,b.mrc,3.2\n",
    "sets.csv": "name,micrographs,coordinates,pixel_size,particle_diameter\nx,a.mrc,a.box,3.0,90\n",
    "b_info.json": json.dumps(
        dict(boxes_3d=[[1, 2, 3, "manual", 0.5, 0]], class_list={"0": {"name": "x"}}, apix_unbin=2.0)
    ),
    "a_info.json": json.dumps(dict(boxes=[[10, 12, "manual"], [3.5, 4.5, "auto"]])),
    "a.csv": "x,y,score,micrograph\n10,12,0.9,a.mrc\n3.5,4.5,0.4,b.mrc\n",
}


def valid_file(kind: str, folder: Path):
    """Path of a valid file, and a function that is called after each mutation to renew what belongs to it."""
    made = KINDS[kind][0](folder)
    return made if isinstance(made, tuple) else (made, lambda path: None)


def readers_of(kind: str):
    """Functions of a path that read such a file as the commands do."""
    return KINDS[kind][1:]


def _values(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def _mrc(name, *shape, change=lambda values: values):
    """A maker, a function of a folder, of an MRC file of changed normal values."""

    def write(folder):
        mrcfile.write(folder / name, change(_values(*shape)), overwrite=True, voxel_size=3.0)
        return folder / name

    return write


def _body(values):
    data = np.zeros((SIDE,) * 3, np.float32)
    data[8:14, 7:15, 9:16] = 1 + values / 10
    return data


_micrograph, _volume = _mrc("a.mrc", SIDE, SIDE + 8), _mrc("a.mrc", 6, 8, 7, change=_body)


def _packed(maker):
    def pack(folder):
        path = maker(folder)
        packed = path.with_name(path.name + ".gz")
        packed.write_bytes(gzip.compress(path.read_bytes()))
        return packed

    return pack


def _text(name, text="", before=None):
    """A maker of a text file, one of TEXTS without `text`; `before` makes what it names."""

    def write(folder):
        if before:
            before(folder)
        (folder / name).write_text(text or TEXTS[name], encoding="utf-8")
        return folder / name

    return write


def _tiff(folder):
    tifffile.imwrite(folder / "a.tif", _values(SIDE, SIDE), compression="zlib")
    return folder / "a.tif"


def _coordinates(folder):
    coordinates.write_coordinates(folder / "a.star", [[1.0, 2.0], [3.0, 4.0]], [0.5, 0.25], "a comment")
    return folder / "a.star"


def _star(name, before=lambda folder: None, **tables):
    """A maker of a STAR file of {block: rows}; `before` makes what it names."""
    columns = {block: {key: [row[key] for row in rows] for key in rows[0]} for block, rows in tables.items()}

    def write(folder):
        before(folder)
        star.write_tables(folder / name, columns)
        return folder / name

    return write


def _cs(folder):
    fields = {
        "uid": np.arange(3, dtype=np.uint64),
        "location/micrograph_path": np.array([b"a.mrc", b"a.mrc", b"b.mrc"]),
        "location/micrograph_shape": np.full((3, 2), 100, np.uint32),
        "location/center_x_frac": np.array([0.1, 0.2, 0.3], np.float32),
        "location/center_y_frac": np.array([0.4, 0.5, 0.6], np.float32),
        "alignments3D/pose": _values(3, 3),
        "alignments3D/shift": _values(3, 2),
        "alignments3D/psize_A": np.ones(3, np.float32),
    }
    rows = np.zeros(3, [(name, values.dtype, values.shape[1:]) for name, values in fields.items()])
    for name, values in fields.items():
        rows[name] = values
    with open(folder / "a.cs", "wb") as file:
        np.save(file, rows)
    return folder / "a.cs"


def _exported(form):
    def write(folder):
        species, poses = (
            ["x", "x", "y"],
            coordinates3d.ParticlePoses(5 + np.abs(_values(3, 3)), _values(3, 3), _values(3, 2)),
        )
        path = folder / dict(dynamo="a.tbl", imod="a.mod").get(form, "a.csv")
        if form == "dynamo":
            coordinate_files.write_dynamo_table(path, poses, 1, species, ["x", "y"], (-60, 60), 10.0)
        elif form == "imod":
            coordinate_files.write_imod_model(path, poses.zyx, species, (20, 20, 20), 10.0, ["x", "y"])
        elif form == "napari":
            coordinate_files.write_napari_points(path, poses, species, 10.0)
        else:
            return folder / coordinate_files.write_copick(folder, "a", "x", poses, 10.0)
        return path

    return write


def _zarr(name):
    def write(folder):
        zarr_writer.write_zarr(folder / "a.zarr", tomograms.Tomogram(_volume(folder)), 3.0)
        return folder / "a.zarr" / name

    return write


def _zarr3(folder):
    grid = dict(name="regular", configuration=dict(chunk_shape=[8, 8, 8]))
    found = dict(zarr_format=3, node_type="array", shape=[8, 8, 8], data_type="float32", chunk_grid=grid, fill_value=0)
    codecs = [dict(name="bytes", configuration=dict(endian="little"))]
    (folder / "a.zarr/c/0/0").mkdir(parents=True)
    (folder / "a.zarr/c/0/0/0").write_bytes(_values(8, 8, 8).tobytes())
    return _text("a.zarr/zarr.json", json.dumps(dict(found, chunk_key_encoding=dict(name="default"), codecs=codecs)))(
        folder
    )


def _listed(folder):
    _micrograph(folder)
    (folder / "b.mrc").write_bytes(b"x")


def _model(ending):
    def make(folder):
        structure = gemmi.Structure()
        model, chain = gemmi.Model(1), gemmi.Chain("A")
        for number in range(1, 13):
            residue = gemmi.Residue()
            residue.name, residue.seqid = "ALA", gemmi.SeqId(str(number))
            for name, shift in (("N", 0.0), ("CA", 1.4), ("C", 2.8), ("O", 3.5)):
                atom = gemmi.Atom()
                atom.name, atom.element = name, gemmi.Element(name[0])
                atom.pos, atom.b_iso = gemmi.Position(3.8 * number + shift, 2.0 * (number % 3), shift), 40.0
                residue.add_atom(atom)
            chain.add_residue(residue)
        model.add_chain(chain)
        structure.add_model(model)
        structure.setup_entities()
        path = folder / f"a{ending}"
        if ending == ".pdb":
            structure.write_pdb(str(path))
        else:
            structure.make_mmcif_document().write_file(str(path))
        return path

    return make


def _card(folder):
    """The card of a copy of a shipped model."""
    return Path(shutil.copytree(Path(cryodl.__file__).parent / "models" / "ribosome", folder / "model")) / "card.json"


def _questions(folder):
    places = {"a": (np.random.default_rng(0).uniform(0, 2000, (400, 2)), np.linspace(0.9, 0.01, 400))}
    choose_questions(places, 0.5, 20.0, "0").write(folder / "questions.json")
    return folder / "questions.json"


def _safetensors(folder):
    card = _card(folder)
    path = card.with_name("weights.safetensors")
    save_file({"a": torch.zeros(3, 4), "b": torch.ones(5)}, path)

    def renew(changed):  # the checksum is right: the reader itself is tried
        found = json.loads(card.read_text(encoding="utf-8"))
        card.write_text(json.dumps(dict(found, weights_sha256=sha256(changed))), encoding="utf-8")

    renew(path)
    return path, renew


def _request(folder):
    config = PickConfig(micrographs=("a.mrc",), pixel_size=2.0, output="out", particle_diameter=150.0)
    Request("pick", config).write(folder / "r.json")
    return folder / "r.json"


def _result(folder):
    made = dict(particles="chosen.star", count=2, input_count=3, pixel_size=2.0)
    Result("select-latent", made, "CPU", 1.5, summary=("2 particles",)).write(folder / "result.json")
    return folder / "result.json"


def _sums(folder):
    taken, rings = dict(classes=2, contrast="dark"), torch.ones(2, 2, 3, 4)
    scale = earlier_classes.SampleScale(polar.PolarGrid(SIDE, 3, 4, 9.0), np.ones(3), -1.0)
    images = earlier_classes.ImageSums(torch.ones(2, 2, SIDE, SIDE), torch.ones(2, 2, SIDE // 2 + 1))
    members, counts = np.arange(3, dtype=np.uint64), np.array([1, 2])
    made = (taken, 3.0, SIDE, True, False, scale, 2.0, 9.0, counts, rings, rings[..., 0], images, True, members)
    earlier_classes.write_former(folder / earlier_classes.SUMS, earlier_classes.FormerClasses(*made))
    return folder / earlier_classes.SUMS


def _annotations(folder):
    made, drawing = store.open_annotations(str(folder / "annotated")), np.zeros((8, 8), np.int16)
    made.set_path("a", str(_volume(folder)), (SIDE,) * 3)
    drawing[2:5, 2:5] = 1
    made.add("a", 3.0, (12, 12, 12), 8, "membrane", "anna", drawing, _values(8, 8))
    made.save()
    return folder / "annotated" / "annotations.json"


_INTEGERS = (0, 1, -1, 2, 4, 101, 65535, 1 << 20, (1 << 31) - 1, -(1 << 31))
_FLOATS = (float("nan"), float("inf"), -1.0, 0.0, 1e-30, 1e30, 20.0)
_WORDS = (
    b"nan",
    b"NaN",
    b"Infinity",
    b"-1",
    b"0",
    b"1e308",
    b"1e999",
    b"99999999999999999999",
    b"",
    b"null",
    b"true",
    b"[]",
    b"{}",
    b'"x"',
    b"../../x",
    b"/",
    b"\xff\xfe",
    b"\x00",
    b"loop_",
    b"data_",
    b"_rlnCoordinateX",
    b"#",
    b"'",
    b'"',
    b"000000@x",
    b"\xc3\xa9",
    b"[" * 3000,
    b'"\\ud800"',
)


def mutated(whole: bytes, kind: str, seed: int) -> bytes:
    """The bytes of a file after one to four mutations; the same for the same seed."""
    rng = np.random.default_rng(seed)
    if kind.endswith("_gz") and rng.random() < 0.7:  # what is inside, else what is around it
        return gzip.compress(mutated(gzip.decompress(whole), kind[:-3], seed + 1), 1)
    if whole.lstrip()[:1] == b"{" and rng.random() < 0.5:  # as whole JSON whose values are others
        found = json.loads(whole)
        for _ in range(rng.integers(1, 4)):
            _exchange(found, rng)
        return json.dumps(found).encode()
    for _ in range(rng.integers(1, 5)):
        choices = [_flip, _cut, _remove, _repeat, _insert] + [_header if kind in BINARY else _word] * 6
        whole = choices[rng.integers(len(choices))](whole, rng)
    return whole


def _position(whole, rng):
    return int(rng.integers(max(1, len(whole))))


def _flip(whole, rng):
    values = bytearray(whole)
    for _ in range(int(rng.integers(1, 9)) if values else 0):
        values[_position(whole, rng)] = int(rng.integers(256))
    return bytes(values)


def _cut(whole, rng):
    return whole[: _position(whole, rng)]


def _remove(whole, rng):
    start = _position(whole, rng)
    return whole[:start] + whole[start + int(rng.integers(1, 64)) :]


def _repeat(whole, rng):
    start = _position(whole, rng)
    return whole[:start] + whole[start : start + int(rng.integers(1, 512))] * int(rng.integers(2, 20)) + whole[start:]


def _insert(whole, rng):
    start = _position(whole, rng)
    return whole[:start] + rng.bytes(int(rng.integers(1, 64))) + whole[start:]


def _header(whole, rng):
    """An extreme number in one of the first words, where the sizes, offsets and pointers are."""
    start = 4 * int(rng.integers(64)) + (2 if rng.random() < 0.2 else 0)
    if rng.random() < 0.7:
        value = struct.pack("<i", _INTEGERS[rng.integers(len(_INTEGERS))])
    else:
        value = struct.pack("<f", _FLOATS[rng.integers(len(_FLOATS))])
    return whole[:start] + value + whole[start + 4 :]


_VALUES = (None, True, "", "x", "\ud800", "../x", 0, -1, 1.5, 1e999, float("nan"), 10**15, 1 << 70, [], {}, [1] * 7)


def _exchange(found, rng):
    """Another value in place of one, anywhere in what JSON holds; or none, or twice as many."""
    places = list(found if isinstance(found, dict) else range(len(found)))
    if places:
        place = places[rng.integers(len(places))]
        value, kind = found[place], rng.random()
        if isinstance(value, (dict, list)) and value and kind < 0.8:
            _exchange(value, rng)
        elif kind < 0.1:
            del found[place]
        else:
            doubled = [value * 2] if isinstance(value, (int, float, str, list)) and kind < 0.3 else _VALUES
            found[place] = copy.deepcopy(doubled[rng.integers(len(doubled))])


def _word(whole, rng):
    """Another word in place of one."""
    words = list(re.finditer(rb"[^\s,:\[\]{}]+", whole))
    if not words:
        return whole
    word = words[rng.integers(len(words))]
    return whole[: word.start()] + _WORDS[rng.integers(len(_WORDS))] + whole[word.end() :]


def _images(path):
    stacks.stack_shape(str(path))
    stacks.read_images([str(path)], [0])


def _masks(path):
    volume.read_mask(path, volume.read_volume(path))
    structures.read_focus_mask(str(path), 3.0, SIDE)


def _zarr_values(path):
    """Of the folder *.zarr that a file lies in."""
    found = tomograms.Tomogram(next(folder for folder in path.parents if folder.suffix == ".zarr"))
    found.raw(*((0, min(n, 32)) for n in found.shape))


def _drawn(path):
    for tile in (found := store.read_annotations(path.parent)).tiles():
        found.drawing(tile)


MICROGRAPH = (
    micrographs.read_micrograph,
    micrographs.micrograph_shape,
    lambda path: micrographs.pixel_size_warnings([path], 2.0),
)
MODEL = (
    lambda path: structures.load_density(path, 6.0),
    atoms.read_atoms,
    structures.read_structure,
    read_residues,
    states.read_atom_model,
)
LISTED = lambda path: files.expand_paths([str(path)])
# {kind: (maker of a valid file, readers)}
KINDS = {
    "mrc": (_micrograph, *MICROGRAPH),
    "mrc_gz": (_packed(_micrograph), *MICROGRAPH),
    "tiff": (_tiff, *MICROGRAPH),
    "tiff_gz": (_packed(_tiff), *MICROGRAPH),
    "tomogram": (_volume, lambda path: tomograms.Tomogram(path).part((0, 2))),
    "map": (_volume, volume.read_volume, MODEL[0], lambda path: structures.read_cube(path, 6.0, SIDE), _masks),
    "stack": (_mrc("a.mrcs", 3, SIDE, SIDE), _images),
    "weights": (
        _mrc("a.mrc", SIDE, SIDE, SIDE // 2 + 1, change=np.abs),
        lambda path: subtomograms.read_weights(path, SIDE),
        lambda path: subtomograms.read_sums(path, SIDE),
    ),
    "star": (_coordinates, coordinates.read_coordinates),
    "particles": (
        _star(
            "p.star",
            _mrc("a.mrcs", 3, SIDE, SIDE),
            optics=[dict(GROUP, rlnImageDimensionality=2, **MICROSCOPE)],
            particles=[
                dict(
                    **dict(rlnImageName=f"{n}@a.mrcs", rlnOpticsGroup=1),
                    **DEFOCUS,
                    **ANGLES,
                    **dict(rlnOriginXAngst=0.5, rlnOriginYAngst=0.5),
                )
                for n in (1, 2, 3)
            ],
        ),
        lambda path: particle_sets.read_particles(path).images([0]),
        relion_tables.read_orientations,
    ),
    "ctfs": (
        _star(
            "ctfs.star",
            micrographs=[
                dict(
                    **dict(rlnMicrographName="a.mrc", rlnDefocusU=9000.0, rlnDefocusV=8000.0, rlnDefocusAngle=5.0),
                    **MICROSCOPE,
                )
            ],
        ),
        micrograph_ctfs.read_micrograph_ctfs,
    ),
    "positions": (
        _star(
            "p.star",
            particles=[
                dict(rlnMicrographName="a.mrc", rlnCoordinateX=3.0, rlnCoordinateY=4.0, rlnImageName=f"{n}@a.mrcs")
                for n in (1, 2)
            ],
        ),
        particle_positions.read_particle_positions,
    ),
    "subtomograms": (
        _star(
            "p.star",
            _mrc("s.mrc", SIDE, SIDE, SIDE),
            optics=[dict(GROUP, rlnImageDimensionality=3)],
            particles=[dict(rlnImageName="s.mrc", rlnOpticsGroup=1, **ANGLES, rlnClassNumber=1)],
        ),
        lambda path: subtomograms.read_subtomograms(path).volumes([0]),
    ),
    "box": (_text("a.box"), coordinates.read_coordinates),
    "topaz": (_text("a.txt"), coordinates.read_coordinates),
    "cbox": (_text("a.cbox"), coordinates.read_coordinates),
    "eman2": (_text("a_info.json"), coordinates.read_coordinates),
    "csv": (_text("a.csv"), coordinates.read_coordinates, cryodl.table),
    "pairs": (_text("pairs.csv", before=_listed), pairs.read_pairs),
    "sets": (_text("sets.csv", before=lambda folder: _text("a.box")(_micrograph(folder).parent)), read_sets),
    "sums": (_sums, earlier_classes.read_sums_of_classes, files.read_kept),
    "cs": (_cs, coordinates.read_coordinates, star.read_tables),
    "dynamo": (_exported("dynamo"), tomogram_coordinates.read_coordinates3d),
    "imod": (_exported("imod"), tomogram_coordinates.read_coordinates3d),
    "copick": (_exported("copick"), tomogram_coordinates.read_coordinates3d),
    "eman2_boxes": (_text("b_info.json"), tomogram_coordinates.read_coordinates3d),
    "napari": (_exported("napari"), tomogram_coordinates.read_coordinates3d),
    "list": (_text("list.txt", "a.mrc\nb.mrc\n", _listed), LISTED),
    "list_star": (_star("list.star", _micrograph, micrographs=[dict(rlnMicrographName="a.mrc")]), LISTED),
    "pdb": (_model(".pdb"), *MODEL),
    "cif": (_model(".cif"), *MODEL),
    "questions": (_questions, read_questions),
    "card": (_card, lambda path: check_model(path.parent)),
    "safetensors": (_safetensors, lambda path: read_model(path.parent)),
    "request": (_request, Request.read),
    "result": (_result, Result.read, files.read_kept),
    "annotations": (_annotations, _drawn, lambda path: annotations.read_tiles(str(path.parent))),
    "zarr": (_zarr("0/.zarray"), _zarr_values),
    "zarr_group": (_zarr(".zattrs"), _zarr_values),
    "zarr_chunk": (_zarr("0/0/0/0"), _zarr_values),
    "zarr3": (_zarr3, _zarr_values),
}
BINARY = {
    *("mrc", "mrc_gz", "tiff", "tiff_gz", "tomogram", "map", "stack", "weights", "imod", "cs", "safetensors"),
    *("zarr_chunk", "sums"),
}
