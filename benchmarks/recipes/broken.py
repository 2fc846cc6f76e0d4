# SPDX-License-Identifier: GPL-3.0-or-later
"""Valid files of each kind that the engine reads, mutations of them, and their readers as the commands call them."""

import gzip
import hashlib
import json
import os
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
from cryodl.contract import PickConfig, Request, check_model
from cryodl.contract.annotations import read_tiles
from cryodl.contract.reading import star_head
from cryodl.io import coordinate_files
from cryodl.io.coordinates import read_coordinates, write_coordinates
from cryodl.io.files import expand_paths
from cryodl.io.micrograph_ctfs import read_micrograph_ctfs
from cryodl.io.micrographs import micrograph_shape, pixel_size_warnings, read_micrograph
from cryodl.io.model import read_model
from cryodl.io.particle_positions import read_particle_positions
from cryodl.io.particle_sets import read_particles
from cryodl.io.particles import read_orientations
from cryodl.io.stacks import read_images, stack_shape
from cryodl.io.star import read_tables, write_tables
from cryodl.io.subtomograms import read_subtomograms, read_sums, read_weights
from cryodl.io.tomogram_coordinates import read_coordinates3d
from cryodl.io.tomograms import Tomogram
from cryodl.io.zarr_arrays import write_zarr
from cryodl.latent.masks import read_focus_mask
from cryodl.maps.measures.atoms import read_atoms, read_structure
from cryodl.maps.measures.volume import read_mask, read_volume
from cryodl.micrographs.byhand.questions import choose_questions, read_questions
from cryodl.simulate.states import read_atom_model
from cryodl.simulate.structures import load_density, read_cube
from cryodl.tomograms.annotations.store import open_annotations, read_annotations

SIDE = 24  # px of the images and volumes


def valid_file(kind: str, folder: Path):
    """Path of a valid file, and a function that is called after each mutation to renew what belongs to it."""
    made = KINDS[kind][0](folder)
    return made if isinstance(made, tuple) else (made, lambda path: None)


def readers_of(kind: str):
    """Functions of a path that read such a file as the commands do."""
    return KINDS[kind][1:]


def _values(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def _write_mrc(path, data):
    with mrcfile.new(path, overwrite=True) as mrc:
        mrc.set_data(data)
        mrc.voxel_size = 3.0
    return path


def _mrc(folder):
    return _write_mrc(folder / "a.mrc", _values(SIDE, SIDE + 8))


def _packed(maker):
    def pack(folder):
        path = maker(folder)
        packed = path.with_name(path.name + ".gz")
        packed.write_bytes(gzip.compress(path.read_bytes()))
        return packed

    return pack


def _tiff(folder):
    tifffile.imwrite(folder / "a.tif", _values(SIDE, SIDE), compression="zlib")
    return folder / "a.tif"


def _volume(folder):
    data = np.zeros((SIDE,) * 3, np.float32)
    data[8:14, 7:15, 9:16] = 1 + _values(6, 8, 7) / 10
    return _write_mrc(folder / "a.mrc", data)


def _weights(folder):
    return _write_mrc(folder / "a.mrc", np.abs(_values(SIDE, SIDE, SIDE // 2 + 1)))


def _stack(folder):
    return _write_mrc(folder / "a.mrcs", _values(3, SIDE, SIDE))


def _coordinates(folder):
    write_coordinates(folder / "a.star", [[1.0, 2.0], [3.0, 4.0]], [0.5, 0.25], "a comment")
    return folder / "a.star"


def _particles(folder):
    _stack(folder)
    columns = dict(
        rlnVoltage=300.0,
        rlnSphericalAberration=2.7,
        rlnAmplitudeContrast=0.1,
        rlnDefocusU=15000.0,
        rlnDefocusV=14000.0,
        rlnDefocusAngle=10.0,
        rlnAngleRot=1.0,
        rlnAngleTilt=2.0,
        rlnAnglePsi=3.0,
        rlnOriginXAngst=0.5,
        rlnOriginYAngst=0.5,
    )
    optics = dict(
        rlnOpticsGroup=1, rlnOpticsGroupName="g", rlnImagePixelSize=3.0, rlnImageSize=SIDE, rlnImageDimensionality=2
    )
    moved = ("rlnVoltage", "rlnSphericalAberration", "rlnAmplitudeContrast")
    optics.update({name: columns.pop(name) for name in moved})
    rows = [dict(rlnImageName=f"{n}@a.mrcs", rlnOpticsGroup=1, **columns) for n in (1, 2, 3)]
    return _star(folder / "p.star", optics=[optics], particles=rows)


def _subtomograms(folder):
    _write_mrc(folder / "s.mrc", _values(SIDE, SIDE, SIDE))
    optics = dict(
        rlnOpticsGroup=1, rlnOpticsGroupName="g", rlnImagePixelSize=3.0, rlnImageSize=SIDE, rlnImageDimensionality=3
    )
    rows = [
        dict(
            rlnImageName="s.mrc", rlnOpticsGroup=1, rlnAngleRot=1.0, rlnAngleTilt=2.0, rlnAnglePsi=3.0, rlnClassNumber=1
        )
    ]
    return _star(folder / "p.star", optics=[optics], particles=rows)


def _star(path, **tables):
    write_tables(path, {block: {key: [row[key] for row in rows] for key in rows[0]} for block, rows in tables.items()})
    return path


def _box(folder):
    (folder / "a.box").write_text("10 20 32 32 0.5\n30 40 32 32 0.25\n", encoding="utf-8")
    return folder / "a.box"


def _topaz(folder):
    (folder / "a.txt").write_text(
        "image_name\tx_coord\ty_coord\tscore\na\t10\t20\t0.5\na\t30\t40\t0.2\n", encoding="utf-8"
    )
    return folder / "a.txt"


def _boxes_of_others(name):
    columns = ("CoordinateX", "CoordinateY", "CoordinateZ", "Width", "Height", "Confidence")
    texts = {
        "a.cbox": star_head("cryolo", columns) + "10.0 12.0 <NA> 8.0 8.0 0.9\n3.5 4.5 <NA> 8.0 8.0 0.4\n",
        "b_info.json": json.dumps(
            dict(boxes_3d=[[1, 2, 3, "manual", 0.5, 0]], class_list={"0": {"name": "x"}}, apix_unbin=2.0)
        ),
        "a_info.json": json.dumps(dict(boxes=[[10, 12, "manual"], [3.5, 4.5, "auto"]])),
        "a.csv": "x,y,score,micrograph\n10,12,0.9,a.mrc\n3.5,4.5,0.4,b.mrc\n",
    }

    def write(folder):
        (folder / name).write_text(texts[name], encoding="utf-8")
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
        xyz, angles = 5 + np.abs(_values(3, 3)), 90 * _values(3, 3)
        species, names = ["x", "x", "y"], ["x", "y"]
        path = folder / dict(dynamo="a.tbl", imod="a.mod").get(form, "a.csv")
        if form == "dynamo":
            coordinate_files.write_dynamo_table(path, xyz, 1, species, names, angles, (-60, 60), 10.0)
        elif form == "imod":
            coordinate_files.write_imod_model(path, xyz, species, (20, 20, 20), 10.0, names)
        elif form == "napari":
            coordinate_files.write_napari_points(path, xyz, species, angles)
        else:
            return folder / coordinate_files.write_copick(folder, "a", "x", xyz, angles, 10.0)
        return path

    return write


def _list_star(folder):
    _mrc(folder)
    return _star(folder / "list.star", micrographs=[dict(rlnMicrographName="a.mrc")])


def _positions(folder):
    rows = [
        dict(rlnMicrographName="a.mrc", rlnCoordinateX=3.0, rlnCoordinateY=4.0, rlnImageName=f"{n}@a.mrcs")
        for n in (1, 2)
    ]
    return _star(folder / "p.star", particles=rows)


def _ctfs(folder):
    row = dict(rlnMicrographName="a.mrc", rlnDefocusU=9000.0, rlnDefocusV=8000.0, rlnDefocusAngle=5.0)
    optics = dict(rlnVoltage=300.0, rlnSphericalAberration=2.7, rlnAmplitudeContrast=0.1)
    return _star(folder / "ctfs.star", micrographs=[dict(row, **optics)])


def _zarr(name):
    def write(folder):
        write_zarr(folder / "a.zarr", Tomogram(_volume(folder)), 3.0)
        return folder / "a.zarr" / name

    return write


def _zarr3(folder):
    grid = dict(name="regular", configuration=dict(chunk_shape=[8, 8, 8]))
    found = dict(zarr_format=3, node_type="array", shape=[8, 8, 8], data_type="float32", chunk_grid=grid, fill_value=0)
    found.update(
        chunk_key_encoding=dict(name="default"), codecs=[dict(name="bytes", configuration=dict(endian="little"))]
    )
    (folder / "a.zarr/c/0/0").mkdir(parents=True)
    (folder / "a.zarr/c/0/0/0").write_bytes(_values(8, 8, 8).tobytes())
    (folder / "a.zarr/zarr.json").write_text(json.dumps(found), encoding="utf-8")
    return folder / "a.zarr/zarr.json"


def _list(folder):
    _mrc(folder)
    (folder / "b.mrc").write_bytes(b"x")
    (folder / "list.txt").write_text("a.mrc\nb.mrc\n", encoding="utf-8")
    return folder / "list.txt"


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


def _copied_model(folder):
    source = Path(cryodl.__file__).parent / "models" / "ribosome"
    return Path(shutil.copytree(source, folder / "model"))


def _questions(folder):
    places = {"a": (np.random.default_rng(0).uniform(0, 2000, (400, 2)), np.linspace(0.9, 0.01, 400))}
    choose_questions(places, 0.5, 20.0, "0").write(folder / "questions.json")
    return folder / "questions.json"


def _card(folder):
    return _copied_model(folder) / "card.json"


def _safetensors(folder):
    model = _copied_model(folder)
    path = model / "weights.safetensors"
    save_file({"a": torch.zeros(3, 4), "b": torch.ones(5)}, path)

    def renew(changed):  # the checksum is right: the reader itself is tried
        card = json.loads((model / "card.json").read_text(encoding="utf-8"))
        card["weights_sha256"] = hashlib.sha256(changed.read_bytes()).hexdigest()
        (model / "card.json").write_text(json.dumps(card), encoding="utf-8")

    renew(path)
    return path, renew


def _request(folder):
    Request("pick", PickConfig(micrographs=("a.mrc",), pixel_size=2.0, output="out", particle_diameter=150.0)).write(
        folder / "r.json"
    )
    return folder / "r.json"


def _annotations(folder):
    _volume(folder)
    store = open_annotations(str(folder / "annotated"))
    store.set_path("a", str(folder / "a.mrc"), (SIDE,) * 3)
    drawing = np.zeros((8, 8), np.int16)
    drawing[2:5, 2:5] = 1
    store.add("a", 3.0, (12, 12, 12), 8, "membrane", "anna", drawing, _values(8, 8))
    store.save()
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
)


def mutated(whole: bytes, kind: str, seed: int) -> bytes:
    """The bytes of a file after one to four mutations; the same for the same seed."""
    rng = np.random.default_rng(seed)
    if kind.endswith("_gz") and rng.random() < 0.7:  # what is inside, else what is around it
        return gzip.compress(mutated(gzip.decompress(whole), kind[:-3], seed + 1), 1)
    for _ in range(rng.integers(1, 5)):
        choices = [_flip, _cut, _remove, _repeat, _insert]
        choices += [_word] * 6 if kind not in BINARY else [_header] * 6
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
    part = whole[start : start + int(rng.integers(1, 512))]
    return whole[:start] + part * int(rng.integers(2, 20)) + whole[start:]


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


def _word(whole, rng):
    """Another word in place of one."""
    words = list(re.finditer(rb"[^\s,:\[\]{}]+", whole))
    if not words:
        return whole
    word = words[rng.integers(len(words))]
    return whole[: word.start()] + _WORDS[rng.integers(len(_WORDS))] + whole[word.end() :]


def _tomogram(path):
    Tomogram(path).part((0, 2))


def _images(path):
    stack_shape(str(path))
    read_images([str(path)], [0])


def _density(path):
    load_density(path, 6.0)


def _cube(path):
    read_cube(path, 6.0, SIDE)


def _masks(path):
    read_mask(path, read_volume(path))
    read_focus_mask(str(path), 3.0, SIDE)


def _zarr_values(path):
    """Of the folder *.zarr that a file lies in."""
    volume = Tomogram(next(folder for folder in path.parents if folder.suffix == ".zarr"))
    volume.raw(*((0, min(n, 32)) for n in volume.shape))


def _drawn(path):
    for tile in (annotations := read_annotations(path.parent)).tiles():
        annotations.drawing(tile)


MICROGRAPH = (read_micrograph, micrograph_shape, lambda path: pixel_size_warnings([path], 2.0))
# {kind: (maker of a valid file, readers)}
KINDS = {
    "mrc": (_mrc, *MICROGRAPH),
    "mrc_gz": (_packed(_mrc), *MICROGRAPH),
    "tiff": (_tiff, *MICROGRAPH),
    "tiff_gz": (_packed(_tiff), *MICROGRAPH),
    "tomogram": (_volume, _tomogram),
    "map": (_volume, read_volume, _density, _cube, _masks),
    "stack": (_stack, _images),
    "weights": (_weights, lambda path: read_weights(path, SIDE), lambda path: read_sums(path, SIDE)),
    "star": (_coordinates, read_coordinates),
    "particles": (_particles, lambda path: read_particles(path).images([0]), read_orientations),
    "ctfs": (_ctfs, read_micrograph_ctfs),
    "positions": (_positions, read_particle_positions),
    "subtomograms": (_subtomograms, lambda path: read_subtomograms(path).volumes([0])),
    "box": (_box, read_coordinates),
    "topaz": (_topaz, read_coordinates),
    "cbox": (_boxes_of_others("a.cbox"), read_coordinates),
    "eman2": (_boxes_of_others("a_info.json"), read_coordinates),
    "csv": (_boxes_of_others("a.csv"), read_coordinates),
    "cs": (_cs, read_coordinates, read_tables),
    "dynamo": (_exported("dynamo"), read_coordinates3d),
    "imod": (_exported("imod"), read_coordinates3d),
    "copick": (_exported("copick"), read_coordinates3d),
    "eman2_boxes": (_boxes_of_others("b_info.json"), read_coordinates3d),
    "napari": (_exported("napari"), read_coordinates3d),
    "list": (_list, lambda path: expand_paths([str(path)])),
    "list_star": (_list_star, lambda path: expand_paths([str(path)])),
    "pdb": (_model(".pdb"), _density, read_atoms, read_structure, read_atom_model),
    "cif": (_model(".cif"), _density, read_atoms, read_structure, read_atom_model),
    "questions": (_questions, read_questions),
    "card": (_card, lambda path: check_model(path.parent)),
    "safetensors": (_safetensors, lambda path: read_model(path.parent)),
    "request": (_request, Request.read),
    "annotations": (_annotations, _drawn, lambda path: read_tiles(str(path.parent))),
    "zarr": (_zarr("0/.zarray"), _zarr_values),
    "zarr_group": (_zarr(".zattrs"), _zarr_values),
    "zarr_chunk": (_zarr("0/0/0/0"), _zarr_values),
    "zarr3": (_zarr3, _zarr_values),
}
BINARY = (
    "mrc",
    "mrc_gz",
    "tiff",
    "tiff_gz",
    "tomogram",
    "map",
    "stack",
    "weights",
    "imod",
    "cs",
    "safetensors",
    "zarr_chunk",
)


def spoil(folder: Path) -> int:
    """mics/ in a folder: two good micrographs and ten bad files. Returns the number of bad ones."""
    mics, good = folder / "mics", sorted((folder / "data/sim/micrographs").glob("*.mrc"))[:2]
    mics.mkdir()
    for path in good:
        (mics / path.name).write_bytes(path.read_bytes())
    whole = good[0].read_bytes()
    with mrcfile.open(good[0]) as mrc:
        image = np.array(mrc.data, np.float32)
    side = len(image)
    files = {
        "cut.mrc": whole[: len(whole) // 2],
        "empty.mrc": b"",
        "extended.mrc": _patched(whole, 92, "<i", 2**31 - 1),
        "large.mrc": _patched(whole, 0, "<ii", 10**6, 10**6),
        "expands.mrc.gz": gzip.compress(_patched(whole, 0, "<ii", 40000, 40000) + bytes(1 << 20)),
        "nan.mrc": whole[:1024] + np.full((side, side), np.nan, np.float32).tobytes(),
    }
    for name, values in files.items():
        (mics / name).write_bytes(values)
    tifffile.imwrite(mics / "tag.tif", image)
    tag = bytearray((mics / "tag.tif").read_bytes())
    (start,) = struct.unpack_from("<I", tag, 4)
    struct.pack_into("<HHI", tag, start + 2 + 12, 257, 99, 2**31)  # type and count of the second tag
    (mics / "tag.tif").write_bytes(tag)
    tifffile.imwrite(mics / "movie.tif", np.stack([image, image]), photometric="minisblack")
    tifffile.imwrite(mics / "overflow.tif", image.astype(np.float64) * 1e300)
    with open(os.fsencode(mics) + b"/name\xe9.mrc", "wb") as file:
        file.write(whole)
    return len(files) + 4


def _patched(whole, offset, form, *values):
    data = bytearray(whole)
    struct.pack_into(form, data, offset, *values)
    return bytes(data)
