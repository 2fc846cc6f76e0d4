# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading micrographs: every format, x and y as frames.py says, and every kind of broken file."""

import bz2
import gzip
import os

import mrcfile
import numpy as np
import pytest
import tifffile
from synthetic import write_mrc

from cryodl.io import micrographs
from cryodl.io.micrographs import micrograph_shape, pixel_size_warnings, read_micrograph

ROW, COLUMN = 3, 17  # one bright pixel in a wide image: a flip or a transposition moves it


def one_pixel(kind):
    image = np.zeros((20, 32), kind)
    image[ROW, COLUMN] = 5
    return image


def write_tiff(path, image, **options):
    """As RELION reads it: the last row of the file is row 0."""
    tifffile.imwrite(path, image[::-1], **options)


def is_right(image):
    return (
        image.dtype == np.float32
        and image.shape == (20, 32)
        and image[ROW, COLUMN] == 5
        and np.count_nonzero(image) == 1
    )


@pytest.mark.parametrize("mode, kind", [(0, np.int8), (1, np.int16), (2, np.float32), (6, np.uint16), (12, np.float16)])
def test_mrc_modes_keep_rows_and_columns(tmp_path, mode, kind):
    path = write_mrc(tmp_path / "a.mrc", one_pixel(kind))
    with mrcfile.open(path, header_only=True) as mrc:
        assert int(mrc.header.mode) == mode
    assert is_right(read_micrograph(path)) and micrograph_shape(path) == (20, 32)


@pytest.mark.parametrize("pack, ending", [(gzip.compress, ".gz"), (bz2.compress, ".bz2")])
def test_compressed_files_are_the_same(tmp_path, pack, ending):
    plain = write_mrc(tmp_path / "a.mrc", one_pixel(np.float32))
    write_tiff(tmp_path / "a.tif", one_pixel(np.uint16))
    for source in (plain, tmp_path / "a.tif"):
        packed = source.with_name(source.name + ending)
        packed.write_bytes(pack(source.read_bytes()))
        assert is_right(read_micrograph(packed)) and micrograph_shape(packed) == (20, 32)


@pytest.mark.parametrize(
    "kind, compression", [(np.uint8, None), (np.uint16, "zlib"), (np.float32, None), (np.int16, "lzw")]
)
def test_tiff_is_read(tmp_path, kind, compression):
    write_tiff(tmp_path / "a.tiff", one_pixel(kind), compression=compression)
    assert is_right(read_micrograph(tmp_path / "a.tiff")) and micrograph_shape(tmp_path / "a.tiff") == (20, 32)


def test_a_stack_of_one_image_is_the_image(tmp_path):
    path = write_mrc(tmp_path / "a.mrcs", one_pixel(np.float32)[None])
    assert is_right(read_micrograph(path))


def test_big_endian_mrc_is_read(tmp_path):
    path = write_mrc(tmp_path / "a.mrc", one_pixel(np.float32).astype(">f4"))
    assert is_right(read_micrograph(path))


def test_paths_with_spaces_percent_and_quotes_are_read(tmp_path):
    path = write_mrc(tmp_path / "a 50% 'b' \"c\" é.mrc", one_pixel(np.float32))
    assert is_right(read_micrograph(str(path)))


@pytest.mark.parametrize(
    ("name", "words"), [("a.eer", "motion-correct"), ("a.dm4", "dm2mrc"), ("a.png", "picture"), ("a.ser", "e2proc2d")]
)
def test_files_of_other_formats_are_answered_with_what_to_do(tmp_path, name, words):
    (tmp_path / name).write_bytes(b"x" * 2000)
    with pytest.raises(ValueError, match=rf"{name} .*{words}.*MRC and TIFF"):
        read_micrograph(tmp_path / name)


def test_a_file_of_eman2_is_answered_with_the_command_that_converts_it(tmp_path):
    (tmp_path / "a.hdf").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(2000))
    with pytest.raises(ValueError, match=r"a.hdf .*HDF file, as EMAN2 writes.*e2proc2d.py NAME.hdf NAME.mrcs"):
        read_micrograph(tmp_path / "a.hdf")


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    (tmp_path / "gone.tif").symlink_to("away.tif")
    for read in (read_micrograph, micrograph_shape):
        for ending, words in ((".mrc", "does not exist"), (".tif", "is a link to away.tif, which is gone")):
            with pytest.raises(FileNotFoundError, match=f"gone{ending} {words}"):
                read(tmp_path / f"gone{ending}")
            (tmp_path / f"folder{ending}").mkdir(exist_ok=True)
            with pytest.raises(FileNotFoundError, match=f"folder{ending} is a folder"):
                read(tmp_path / f"folder{ending}")


@pytest.mark.parametrize(
    "bytes_left, words",
    [(0, "empty"), (500, "readable|damaged"), (1024, "damaged|readable"), (1024 + 1000, "truncated")],
)
def test_a_truncated_mrc_is_named(tmp_path, bytes_left, words):
    path = write_mrc(tmp_path / "short.mrc", one_pixel(np.float32))
    os.truncate(path, bytes_left)
    with pytest.raises(ValueError, match=f"short.mrc.*({words})"):
        read_micrograph(path)


@pytest.mark.parametrize("name", ["a.mrc", "a.mrc.gz", "a.mrc.bz2", "a.tif", "a.tif.gz"])
def test_rubbish_is_refused_with_the_name(tmp_path, name):
    (tmp_path / name).write_bytes(np.random.default_rng(0).bytes(4000))
    with pytest.raises(ValueError, match=f"{name} (is (not a readable|damaged)|cannot be read: not a TIFF file)"):
        read_micrograph(tmp_path / name)


@pytest.mark.parametrize("pack, ending", [(gzip.compress, ".gz"), (bz2.compress, ".bz2")])
@pytest.mark.parametrize("harm", ["cut", "changed"])
@pytest.mark.parametrize("kind", [".mrc", ".tif"])
def test_a_damaged_compressed_file_is_named(tmp_path, pack, ending, harm, kind):
    image = np.random.default_rng(0).integers(0, 20, (64, 64)).astype(np.float32)
    tifffile.imwrite(tmp_path / "a.tif", image)
    source = tmp_path / f"a{kind}"
    write_mrc(tmp_path / "a.mrc", image)
    packed = bytearray(pack(source.read_bytes()))
    if harm == "cut":
        packed = packed[: len(packed) // 2]
    else:
        packed[len(packed) // 2 : len(packed) // 2 + 50] = np.random.default_rng(0).bytes(50)
    (tmp_path / f"bad{kind}{ending}").write_bytes(packed)
    with pytest.raises(ValueError, match=f"bad{kind}"):
        read_micrograph(tmp_path / f"bad{kind}{ending}")


@pytest.mark.parametrize("planes", ["contig", "separate"])
def test_a_colour_picture_is_not_told_to_be_a_movie(tmp_path, planes):
    """Red, green and blue of each pixel, or one image of each colour, as exported pictures have them."""
    shape = (20, 32, 3) if planes == "contig" else (3, 20, 32)
    tifffile.imwrite(tmp_path / "a.tif", np.zeros(shape, np.uint8), photometric="rgb", planarconfig=planes)
    for read in (read_micrograph, micrograph_shape):
        with pytest.raises(ValueError, match=r"a\.tif has 3 values in each pixel, as a colour.*grey levels") as error:
            read(tmp_path / "a.tif")
        assert "ovie" not in str(error.value)


@pytest.mark.parametrize("compression", [None, "zlib", "lzw"])
def test_a_truncated_or_changed_tiff_is_named_or_read_but_never_crashes(tmp_path, compression, caplog):
    image = np.random.default_rng(0).integers(0, 20, (64, 64)).astype(np.float32)
    tifffile.imwrite(tmp_path / "a.tif", image, compression=compression)
    whole, path = (tmp_path / "a.tif").read_bytes(), tmp_path / "bad.tif"
    for part in (0.02, 0.3, 0.6):
        path.write_bytes(whole[: int(part * len(whole))])
        with pytest.raises(ValueError, match="bad.tif"):
            read_micrograph(path)
    for seed in range(30):
        rng = np.random.default_rng(seed)
        start = rng.integers(0, 280)
        path.write_bytes(whole[:start] + rng.bytes(30) + whole[start + 30 :])
        try:
            assert read_micrograph(path).ndim == 2
        except ValueError as error:
            assert "bad.tif" in str(error)


def test_a_header_that_lies_is_refused(tmp_path):
    path = write_mrc(tmp_path / "a.mrc", one_pixel(np.float32))
    for offset, value in ((0, 10**6), (12, 77), (0, -5)):  # nx too large, unknown mode, negative nx
        data = bytearray(path.read_bytes())
        data[offset : offset + 4] = int(value).to_bytes(4, "little", signed=True)
        (tmp_path / "lies.mrc").write_bytes(data)
        with pytest.raises(ValueError, match="lies.mrc"):
            read_micrograph(tmp_path / "lies.mrc")


def test_a_movie_is_refused_with_advice(tmp_path):
    path = write_mrc(tmp_path / "movie.mrcs", np.zeros((4, 20, 32), np.float32))
    with pytest.raises(ValueError, match=r"movie.mrcs.*\(4, 20, 32\).*motion-corrected"):
        read_micrograph(path)


def test_a_fourier_transform_and_a_tiny_image_are_refused(tmp_path):
    path = write_mrc(tmp_path / "fft.mrc", np.ones((20, 32), np.complex64))
    with pytest.raises(ValueError, match="fft.mrc.*complex"):
        read_micrograph(path)
    path = write_mrc(tmp_path / "tiny.mrc", np.ones((4, 32), np.float32))
    with pytest.raises(ValueError, match="tiny.mrc is 32 x 4 px"):
        read_micrograph(path)


def test_not_a_number_pixels_are_left_to_the_normalisation(tmp_path):
    image = one_pixel(np.float32)
    image[0, 0] = np.nan
    path = write_mrc(tmp_path / "a.mrc", np.zeros_like(image))
    path.write_bytes(path.read_bytes()[:1024] + image.tobytes())
    found = read_micrograph(path)
    assert np.isnan(found[0, 0]) and np.isfinite(found).sum() == found.size - 1


@pytest.mark.parametrize("unit", [1e30, 1e-30])
def test_values_whose_squares_are_no_numbers_are_scaled_and_that_is_said(tmp_path, unit, capsys):
    image = np.random.default_rng(0).normal(580, 20, (32, 40))
    image[3, 4] = np.nan
    found = read_micrograph(write_mrc(tmp_path / "a.mrc", (image * unit).astype(np.float32)))
    assert np.isfinite(np.nansum(found**2)) and np.nanvar(found) > 1e-6
    assert np.allclose(found / found[0, 0], image / image[0, 0], rtol=1e-5, equal_nan=True)
    assert "a.mrc has values of about 6e" in capsys.readouterr().out


def test_a_few_huge_values_leave_the_others_as_they_are(tmp_path):
    image = np.ones((32, 40), np.float32)
    image[3, 4] = 1e30
    assert np.array_equal(read_micrograph(write_mrc(tmp_path / "a.mrc", image)), image)


def test_headers_that_contradict_the_pixel_size_are_named(tmp_path):
    for name, voxel in (("a", 3.54), ("b", 3.54), ("c", 1.77), ("unknown", 1.0), ("right", 2.0)):
        with mrcfile.new(tmp_path / f"{name}.mrc") as mrc:
            mrc.set_data(np.zeros((20, 30), np.float32))
            mrc.voxel_size = voxel
    sentences = pixel_size_warnings(sorted(str(p) for p in tmp_path.iterdir()), 2.0)
    assert len(sentences) == 2
    assert "c.mrc says 1.77 Å/px; 2 Å/px" in sentences[0]
    assert "a.mrc (and 1 more) says 3.54 Å/px" in sentences[1]


@pytest.mark.parametrize(
    "shape, odd", [((40, 60), True), ((20, 30), True), ((161, 242), True), ((80, 60), False), ((53, 80), False)]
)
def test_a_whole_part_of_the_usual_sides_is_another_binning(tmp_path, shape, odd):
    """Of 80 x 121 px, binned by 2, by 4, not at all; one side alone is no binning, nor is 1.5 times."""
    for name, size in (("a", (80, 121)), ("b", (80, 121)), ("c", (81, 121)), ("odd", shape), ("d", (80, 121))):
        tifffile.imwrite(tmp_path / f"{name}.tif", np.zeros(size, np.float32))
    (tmp_path / "broken.tif").write_bytes(b"not an image")
    found = micrographs.of_other_binning(sorted(str(p) for p in tmp_path.iterdir()), 2.0)
    assert list(found) == [str(tmp_path / "odd.tif")] * odd


def test_micrographs_of_a_turned_camera_are_not_of_another_binning(tmp_path):
    for name, size in (("a", (80, 40)), ("b", (80, 40)), ("turned", (40, 80))):
        tifffile.imwrite(tmp_path / f"{name}.tif", np.zeros(size, np.float32))
    assert not micrographs.of_other_binning(sorted(str(p) for p in tmp_path.iterdir()), 2.0)


def test_a_tiff_whose_codec_lacks_something_is_not_said_to_hold_no_image(tmp_path, monkeypatch):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((8, 8), np.float32))
    monkeypatch.setattr(micrographs, "_checked", lambda page, path: {}["jetraw"])
    with pytest.raises(ValueError, match="a.tif is damaged, or not what its name says .KeyError: 'jetraw'"):
        micrographs.read_tiff(tmp_path / "a.tif")


def test_a_header_without_numbers_of_cells_says_no_pixel_size(tmp_path):
    path = tmp_path / "a.mrc"
    with mrcfile.new(path, np.zeros((48, 64), np.float32)) as file:
        file.voxel_size = 1.3
        file.header.mx = file.header.my = file.header.mz = 0
    assert pixel_size_warnings([str(path)], 1.5) == []
