# SPDX-License-Identifier: GPL-3.0-or-later
"""Tomograms in OME-Zarr folders, as copick and others write them: read chunk by chunk, refused by name."""

import gzip
import json
import resource

import imagecodecs
import mrcfile
import numpy as np
import pytest

from cryodl.io.files import expand_paths, micrograph_key
from cryodl.io.tomograms import Tomogram
from cryodl.io.volume_writer import VolumeWriter, origin_of

VOLUME = np.random.default_rng(0).normal(size=(11, 14, 9)).astype(np.float32)
CHUNKS = (4, 6, 9)
CODECS = dict(
    blosc=imagecodecs.blosc_encode, zstd=imagecodecs.zstd_encode, zlib=imagecodecs.zlib_encode, gzip=gzip.compress
)


def chunks_of(volume):
    """Yields the position and the values of each chunk, those at the end padded, as Zarr keeps them."""
    for position in np.ndindex(*(-(-n // c) for n, c in zip(volume.shape, CHUNKS))):
        part = volume[tuple(slice(k * c, (k + 1) * c) for k, c in zip(position, CHUNKS))]
        yield position, np.pad(part, [(0, c - n) for c, n in zip(CHUNKS, part.shape)])


def write_v2(folder, volume, compressor=None, between="/"):
    """An OME-Zarr of version 2 with one level at 10 Å/px, the scale in nanometres."""
    level = folder / "0"
    level.mkdir(parents=True)
    axes = [dict(name=a, type="space", unit="nanometer") for a in "zyx"]
    sets = [dict(path="0", coordinateTransformations=[dict(type="scale", scale=[1.0, 1.0, 1.0])])]
    (folder / ".zgroup").write_text('{"zarr_format": 2}')
    (folder / ".zattrs").write_text(json.dumps(dict(multiscales=[dict(axes=axes, datasets=sets, version="0.4")])))
    found = dict(shape=volume.shape, chunks=CHUNKS, dtype=volume.dtype.str, fill_value=0, order="C", filters=None)
    found.update(compressor=compressor and dict(id=compressor), zarr_format=2, dimension_separator=between)
    (level / ".zarray").write_text(json.dumps(found))
    for position, values in chunks_of(volume):
        path = level / between.join(map(str, position))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(CODECS[compressor](values.tobytes()) if compressor else values.tobytes())


@pytest.mark.parametrize("compressor", [None, *CODECS])
def test_a_volume_of_chunks_is_read_as_it_was_written(compressor, tmp_path):
    write_v2(tmp_path / "a.zarr", VOLUME, compressor, "/" if compressor else ".")
    volume = Tomogram(tmp_path / "a.zarr")
    assert volume.shape == VOLUME.shape and volume.pixel_size == 10.0 and volume.dtype == np.float32
    assert np.array_equal(volume.raw(), VOLUME)
    assert np.array_equal(volume.part((3, 9), (5, 13)), VOLUME[3:9, 5:13])


def write_v3(folder, labels, encoding="default", between="/", codecs=("zstd",), without=()):
    """A Zarr 3 array of labels with the fill value 7. without: positions of chunks that are left out."""
    found = dict(
        zarr_format=3,
        node_type="array",
        shape=labels.shape,
        data_type="uint8",
        chunk_grid=dict(name="regular", configuration=dict(chunk_shape=CHUNKS)),
        chunk_key_encoding=dict(name=encoding, configuration=dict(separator=between)),
        codecs=[dict(name="bytes"), *[dict(name=name) for name in codecs]],
        fill_value=7,
    )
    folder.mkdir()
    (folder / "zarr.json").write_text(json.dumps(found))
    for position, values in chunks_of(labels):
        if position not in without:
            path = folder / between.join([*(["c"] if encoding == "default" else []), *map(str, position)])
            path.parent.mkdir(parents=True, exist_ok=True)
            data = imagecodecs.zstd_encode(values.tobytes()) if "zstd" in codecs else values.tobytes()
            path.write_bytes(data + (b"sums" if "crc32c" in codecs else b""))


LABELS = (VOLUME > 0).astype(np.uint8)


def test_version_3_is_read_and_missing_chunks_have_the_fill_value(tmp_path):
    write_v3(tmp_path / "b.zarr", LABELS, without=[(0, 0, 0)])
    expected = LABELS.copy()
    expected[:4, :6] = 7
    assert np.array_equal(Tomogram(tmp_path / "b.zarr").labels(), expected)


@pytest.mark.parametrize("encoding, between", [("default", "/"), ("default", "."), ("v2", "."), ("v2", "/")])
@pytest.mark.parametrize("codecs", [(), ("zstd",), ("zstd", "crc32c"), ("crc32c",)])
def test_chunks_of_version_3_are_found_by_both_encodings_of_their_names(encoding, between, codecs, tmp_path):
    """As the specification of Zarr 3 names them: c/0/1/2 by default, 0.1.2 by v2; 4 bytes of crc32c behind."""
    write_v3(tmp_path / "b.zarr", LABELS, encoding, between, codecs)
    assert np.array_equal(Tomogram(tmp_path / "b.zarr").labels(), LABELS)


def test_a_tomogram_of_which_no_chunk_is_there_is_refused(tmp_path):
    write_v2(tmp_path / "b.zarr", VOLUME)
    for z in range(3):
        (tmp_path / f"b.zarr/0/{z}").rename(tmp_path / f"b.zarr/moved{z}")
    with pytest.raises(ValueError, match="b.zarr holds none of its chunks; the first should be .*b.zarr/0/0/0/0"):
        Tomogram(tmp_path / "b.zarr")
    write_v3(tmp_path / "e.zarr", LABELS, encoding="own")
    with pytest.raises(ValueError, match="names its chunks by own"):
        Tomogram(tmp_path / "e.zarr")


def test_labels_of_which_no_chunk_is_stored_have_the_fill_value_and_a_warning(tmp_path, capsys):
    """As Zarr writes a label volume without any label: chunks that equal the fill value are left out."""
    write_v3(tmp_path / "b.zarr", LABELS, without=list(np.ndindex(3, 3, 1)))
    assert (Tomogram(tmp_path / "b.zarr").labels() == 7).all()
    assert "b.zarr holds none of its chunks, so all its voxels are 7" in capsys.readouterr().out


def test_a_checksum_before_the_compressor_is_refused(tmp_path):
    write_v3(tmp_path / "b.zarr", LABELS, codecs=("crc32c", "zstd"))
    with pytest.raises(ValueError, match="b.zarr is stored with bytes, crc32c, zstd, which is not read"):
        Tomogram(tmp_path / "b.zarr")


def change_transforms(folder, level, whole=(), units=("nanometer",) * 3):
    path = folder / ".zattrs"
    found = json.loads(path.read_text())
    multiscale = found["multiscales"][0]
    multiscale["datasets"][0]["coordinateTransformations"] = list(level)
    multiscale["coordinateTransformations"] = list(whole)
    multiscale["axes"] = [dict(name=a, type="space", unit=unit) for a, unit in zip("zyx", units)]
    path.write_text(json.dumps(found))


def test_transformations_of_the_level_and_then_of_the_whole_place_a_volume(tmp_path):
    """OME-Zarr 0.4: the scale of the datasets, then that of the multiscale, to which translations are subject, too."""
    write_v2(tmp_path / "a.zarr", VOLUME)
    level = [dict(type="scale", scale=[0.5] * 3), dict(type="translation", translation=[1.0, 2.0, 3.0])]
    whole = [dict(type="scale", scale=[2.6] * 3), dict(type="translation", translation=[0.0, 0.0, 1.0])]
    change_transforms(tmp_path / "a.zarr", level, whole)
    assert Tomogram(tmp_path / "a.zarr").pixel_size == pytest.approx(13)
    assert origin_of(tmp_path / "a.zarr") == pytest.approx((88, 52, 26))  # Å along x, y, z


def test_two_axes_and_transformations_of_two_numbers_are_refused_by_name(tmp_path):
    write_v2(tmp_path / "a.zarr", VOLUME)
    level = [dict(type="scale", scale=[1.0, 1.0]), dict(type="translation", translation=[1.0, 2.0])]
    change_transforms(tmp_path / "a.zarr", level)
    with pytest.raises(ValueError, match="a.zarr has a scale of 2 numbers in its metadata"):
        Tomogram(tmp_path / "a.zarr")
    path = tmp_path / "a.zarr/0/.zarray"
    path.write_text(json.dumps(dict(json.loads(path.read_text()), shape=[14, 9], chunks=[6, 9])))
    with pytest.raises(ValueError, match="a.zarr holds an array of 14 x 9; a volume has three axes"):
        Tomogram(tmp_path / "a.zarr")


@pytest.mark.parametrize("units", [("nanometer",) * 3, ("micrometer", "nanometer", "nanometer")])
def test_voxels_that_are_no_cubes_are_refused(units, tmp_path):
    write_v2(tmp_path / "a.zarr", VOLUME)
    scale = [2.6, 1.3, 1.3] if units[0] == units[1] else [1.3] * 3
    change_transforms(tmp_path / "a.zarr", [dict(type="scale", scale=scale)], units=units)
    with pytest.raises(ValueError, match="a.zarr has voxels of 13 x 13 x (26|13000) Å by its metadata; .* cubes"):
        Tomogram(tmp_path / "a.zarr")


def test_a_volume_made_of_an_ome_zarr_lies_where_that_does(tmp_path):
    write_v2(tmp_path / "a.zarr", VOLUME)
    moved = dict(type="translation", translation=[3.0, 2.0, -1.5])
    change_transforms(tmp_path / "a.zarr", [dict(type="scale", scale=[1.0] * 3), moved])
    with VolumeWriter(tmp_path / "b.mrc", VOLUME.shape, 10.0, np.int8, "", tmp_path / "a.zarr") as volume:
        volume.write(0, np.zeros(VOLUME.shape, np.int8))
    with mrcfile.open(tmp_path / "b.mrc") as mrc:
        assert mrc.header.origin.tolist() == (-15.0, 20.0, 30.0) and mrc.nstart.tolist() == (0, 0, 0)
    assert origin_of(tmp_path / "b.mrc") == (-15.0, 20.0, 30.0)


def test_a_folder_is_given_as_a_file_is_and_named_without_its_ending(tmp_path):
    write_v2(tmp_path / "t1.zarr", VOLUME)
    assert (
        expand_paths([str(tmp_path / "*.zarr")])
        == [str(tmp_path / "t1.zarr")]
        == expand_paths([str(tmp_path / "t1.zarr")])
    )
    assert micrograph_key(tmp_path / "t1.zarr") == "t1"


def test_what_cannot_be_read_is_named(tmp_path):
    write_v2(tmp_path / "a.zarr", VOLUME, "zstd")
    (tmp_path / "a.zarr/0/0/0/0").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="0/0/0/0 is damaged"):
        Tomogram(tmp_path / "a.zarr").raw()
    path = tmp_path / "a.zarr/0/.zarray"
    path.write_text(path.read_text().replace("zstd", "bzip9"))
    with pytest.raises(ValueError, match="compressed by bzip9"):
        Tomogram(tmp_path / "a.zarr")


def test_a_volume_keeps_the_origin_of_the_tomogram_that_it_was_made_of(tmp_path):
    with mrcfile.new(tmp_path / "a.mrc") as mrc:
        mrc.set_data(VOLUME)
        mrc.header.origin = (-100.5, 20.0, 30.0)
        mrc.nstart = (1, 2, 3)
    with VolumeWriter(tmp_path / "b.mrc", VOLUME.shape, 10.0, np.int8, "", tmp_path / "a.mrc") as volume:
        volume.write(0, np.zeros(VOLUME.shape, np.int8))
    with mrcfile.open(tmp_path / "b.mrc") as mrc:
        assert mrc.header.origin.tolist() == (-100.5, 20.0, 30.0) and mrc.nstart.tolist() == (1, 2, 3)
        assert mrc.voxel_size.x == pytest.approx(10) and mrc.data.shape == VOLUME.shape


@pytest.mark.parametrize(
    "change",
    [
        dict(shape=[100000] * 3),
        dict(shape=[65536] * 3),
        dict(shape=[11, 14, -9]),
        dict(shape="no"),
        dict(chunks=[4, 6]),
        dict(chunks=[4000, 6000, 9000]),
        dict(dtype="O"),
        dict(compressor=dict(id="x")),
        dict(fill_value="x"),
    ],
)
def test_metadata_that_make_no_sense_are_refused_at_once(change, tmp_path):
    write_v2(tmp_path / "a.zarr", VOLUME)
    found = json.loads((tmp_path / "a.zarr/0/.zarray").read_text())
    (tmp_path / "a.zarr/0/.zarray").write_text(json.dumps(dict(found, **change)))
    with pytest.raises(ValueError, match="a.zarr"):
        Tomogram(tmp_path / "a.zarr").raw()


@pytest.mark.parametrize("compressor", CODECS)
def test_a_chunk_that_expands_takes_no_more_memory_than_a_chunk(compressor, tmp_path):
    write_v2(tmp_path / "a.zarr", VOLUME, compressor)
    (tmp_path / "a.zarr/0/0/0/0").write_bytes(CODECS[compressor](bytes(600 << 20)))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError, match="0/0/0 is damaged .*Copy it again"):
        Tomogram(tmp_path / "a.zarr").raw()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10


@pytest.mark.parametrize("compressor", [None, *CODECS])
@pytest.mark.parametrize("bytes_more", [-4, 1, 4])
def test_a_chunk_of_another_size_than_the_metadata_state_is_damaged(compressor, bytes_more, tmp_path):
    write_v2(tmp_path / "a.zarr", VOLUME, compressor)
    values = bytes(4 * 6 * 9 * 4 + bytes_more)
    (tmp_path / "a.zarr/0/0/0/0").write_bytes(CODECS[compressor](values) if compressor else values)
    with pytest.raises(ValueError, match="0/0/0 is damaged .*Copy it again"):
        Tomogram(tmp_path / "a.zarr").raw()


@pytest.mark.parametrize("stated", [0, 15, 2**31 - 1])
def test_a_chunk_that_states_another_length_than_it_has_is_refused(stated, tmp_path):
    """blosc believes what its header states, and would read beyond the end of the memory."""
    write_v2(tmp_path / "a.zarr", VOLUME, "blosc")
    chunk = tmp_path / "a.zarr/0/0/0/0"
    chunk.write_bytes(chunk.read_bytes()[:12] + stated.to_bytes(4, "little") + chunk.read_bytes()[16:])
    with pytest.raises(ValueError, match="0/0/0 is damaged .its header states"):
        Tomogram(tmp_path / "a.zarr").raw()
