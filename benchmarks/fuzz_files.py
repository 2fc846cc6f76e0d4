# SPDX-License-Identifier: GPL-3.0-or-later
"""A valid file of each kind that the engine reads."""

import gzip
import hashlib
import json
import shutil
from pathlib import Path

import numpy as np

SIDE = 24  # px of the images and volumes


def valid_file(kind: str, folder: Path):
    """Path of a valid file, and a function that is called after each mutation to renew what belongs to it."""
    maker = dict(
        mrc=_mrc,
        mrc_gz=_packed(_mrc),
        tiff=_tiff,
        tiff_gz=_packed(_tiff),
        tomogram=_volume,
        map=_volume,
        stack=_stack,
        star=_coordinates,
        particles=_particles,
        subtomograms=_subtomograms,
        box=_box,
        topaz=_topaz,
        list=_list,
        pdb=_model(".pdb"),
        cif=_model(".cif"),
        card=_card,
        safetensors=_safetensors,
        request=_request,
        annotations=_annotations,
    )[kind]
    made = maker(folder)
    return made if isinstance(made, tuple) else (made, lambda path: None)


def _values(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def _write_mrc(path, data):
    import mrcfile

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
    import tifffile

    tifffile.imwrite(folder / "a.tif", _values(SIDE, SIDE), compression="zlib")
    return folder / "a.tif"


def _volume(folder):
    data = np.zeros((SIDE,) * 3, np.float32)
    data[8:14, 7:15, 9:16] = 1 + _values(6, 8, 7) / 10
    return _write_mrc(folder / "a.mrc", data)


def _stack(folder):
    return _write_mrc(folder / "a.mrcs", _values(3, SIDE, SIDE))


def _coordinates(folder):
    from cryodl.io.coordinates import write_coordinates

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
    from cryodl.io.star import write_tables

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


def _list(folder):
    _mrc(folder)
    (folder / "b.mrc").write_bytes(b"x")
    (folder / "list.txt").write_text("a.mrc\nb.mrc\n", encoding="utf-8")
    return folder / "list.txt"


def _model(ending):
    def make(folder):
        import gemmi

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
    import cryodl

    source = Path(cryodl.__file__).parent / "models" / "ribosome"
    return Path(shutil.copytree(source, folder / "model"))


def _card(folder):
    return _copied_model(folder) / "card.json"


def _safetensors(folder):
    import torch
    from safetensors.torch import save_file

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
    from cryodl.contract import PickConfig, Request

    Request("pick", PickConfig(("a.mrc",), 2.0, "general", "out", particle_diameter=150.0)).write(folder / "r.json")
    return folder / "r.json"


def _annotations(folder):
    from cryodl.tomograms.annotations.store import open_annotations

    _volume(folder)
    store = open_annotations(str(folder / "annotated"))
    store.set_path("a", str(folder / "a.mrc"), (SIDE,) * 3)
    drawing = np.zeros((8, 8), np.int16)
    drawing[2:5, 2:5] = 1
    store.add("a", 3.0, (12, 12, 12), 8, "membrane", "anna", drawing, _values(8, 8))
    store.save()
    return folder / "annotated" / "annotations.json"
