# SPDX-License-Identifier: GPL-3.0-or-later
"""Maps keep their position in space: axes, origin, grid."""

import mrcfile
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from cryodl.io.messages import collected
from cryodl.io.stacks import read_images
from cryodl.io.tomograms import Tomogram
from cryodl.io.volume_writer import origin_of
from cryodl.maps.measures.volume import check_density, check_same_grid, read_mask, read_volume, write_volume


def write_mrc(path, data, voxel=2.0, origin=(0, 0, 0), start=(0, 0, 0), axes=(1, 2, 3)):
    with mrcfile.new(path, overwrite=True) as mrc:
        mrc.set_data(np.asarray(data, np.float32))
        mrc.set_volume()
        mrc.voxel_size = voxel
        mrc.header.origin = origin
        mrc.header.nxstart, mrc.header.nystart, mrc.header.nzstart = start
        mrc.header.mapc, mrc.header.mapr, mrc.header.maps = axes
    return str(path)


@pytest.fixture
def data():
    values = np.zeros((3, 4, 5), np.float32)
    values[2, 1, 4] = 1.0
    return values


def test_an_atom_at_a_voxel_is_found_there(tmp_path, data):
    volume = read_volume(write_mrc(tmp_path / "a.mrc", data, 2.0, origin=(10, 20, 30)))
    np.testing.assert_allclose(volume.positions([[10 + 4 * 2, 20 + 1 * 2, 30 + 2 * 2]]), [[2, 1, 4]])


def test_the_start_of_the_grid_is_the_origin_where_there_is_no_other(tmp_path, data):
    volume = read_volume(write_mrc(tmp_path / "a.mrc", data, 2.0, start=(5, 10, 15)))
    np.testing.assert_allclose(volume.origin_zyx, [30, 20, 10])


@pytest.mark.parametrize(
    "start, origin, axes, expected",
    [
        ((600, 0, -3), (0, 0, 0), (1, 2, 3), (1200, 0, -6)),  # a small box of a large map
        ((7, 8, 9), (0, 0, 0), (3, 1, 2), (16, 18, 14)),
        ((1, 2, 3), (np.nan, 4, 5), (0, 0, 0), (2, 4, 6)),
        ((16843009, 0, 0), (0, 0, 0), (1, 2, 3), (0, 0, 0)),  # bytes that nobody has set
        ((1, 2, 3), (5, 0, 0), (1, 2, 3), (5, 0, 0)),
    ],
)
def test_maps_and_tomograms_lie_where_their_headers_say_alike(start, origin, axes, expected, tmp_path):
    path = write_mrc(tmp_path / "a.mrc", np.eye(4)[:, :, None] * np.ones(4), 2.0, origin, start, axes)
    np.testing.assert_allclose(read_volume(path).origin_zyx[::-1], expected)
    np.testing.assert_allclose(origin_of(path), expected)


def test_permuted_axes_are_put_in_order_and_written_back_as_they_were(tmp_path, data):
    """Columns along z, rows along x, sections along y (MAPC 3, MAPR 1, MAPS 2)."""
    path = write_mrc(tmp_path / "a.mrc", data.transpose(1, 2, 0), 2.0, start=(7, 8, 9), axes=(3, 1, 2))
    with mrcfile.open(path, mode="r+") as mrc:  # the cell belongs to x, y, z, whatever the order in the file is
        mrc.header.mx, mrc.header.my, mrc.header.mz = 5, 4, 3
        mrc.header.cella = (10, 8, 6)
    volume = read_volume(path)
    assert volume.data.shape == (3, 4, 5) and volume.data[2, 1, 4] == 1
    np.testing.assert_allclose(volume.origin_zyx, np.array([7, 9, 8]) * 2.0)  # z by columns, y by sections, x by rows
    write_volume(tmp_path / "b.mrc", volume.data * 2, volume)
    with mrcfile.open(tmp_path / "b.mrc") as mrc, mrcfile.open(path) as old:
        np.testing.assert_array_equal(mrc.data, 2 * old.data)
        for name in ("mapc", "mapr", "maps", "nxstart", "nystart", "nzstart", "mx", "my", "mz", "cella", "origin"):
            assert mrc.header[name] == old.header[name]


def test_voxels_of_three_lengths_are_kept(tmp_path, data):
    volume = read_volume(write_mrc(tmp_path / "a.mrc", data, (1.0, 1.2, 1.5)))
    np.testing.assert_allclose(volume.voxels_zyx, [1.5, 1.2, 1.0], rtol=1e-6)
    assert not volume.isotropic


@pytest.mark.parametrize(
    "change, words",
    [
        (dict(voxel=0.0), ["pixel size", "--pixel-size"]),
        (dict(axes=(1, 1, 3)), ["axes", "MAPC"]),
        (dict(voxel=(1.0, 2.5, 1.0)), ["2.5", "Correct the header, or give --pixel-size"]),
    ],
)
def test_headers_that_say_nothing_are_named(tmp_path, data, change, words):
    path = write_mrc(tmp_path / "a.mrc", data, **change)
    with pytest.raises(ValueError) as error:
        read_volume(path)
    assert all(word in str(error.value) for word in ["a.mrc", *words])


def test_a_given_pixel_size_replaces_the_headers(tmp_path, data):
    volume = read_volume(write_mrc(tmp_path / "a.mrc", data, 0.0), 1.5)
    assert volume.pixel_size == 1.5
    write_volume(tmp_path / "b.mrc", data, volume)
    assert read_volume(str(tmp_path / "b.mrc")).pixel_size == pytest.approx(1.5)


def test_a_header_without_counts_of_voxels_gets_them_with_the_given_pixel_size(tmp_path, data):
    path = write_mrc(tmp_path / "a.mrc", data, 0.0)
    with mrcfile.open(path, "r+", permissive=True) as mrc:
        mrc.header.mx = mrc.header.my = mrc.header.mz = 0
    write_volume(tmp_path / "b.mrc", data, read_volume(path, 1.5))
    assert read_volume(str(tmp_path / "b.mrc")).pixel_size == pytest.approx(1.5)


@pytest.mark.parametrize(
    "change", [dict(cella=(4.0, 4.0, 15.0)), dict(mx=0), dict(cella=(4.0, 0.0, 3.0)), dict(cellb=(90.0, 90.0, 120.0))]
)
def test_a_wrong_header_is_set_right_by_the_given_pixel_size(tmp_path, data, change):
    path = write_mrc(tmp_path / "a.mrc", data)
    with mrcfile.open(path, "r+", permissive=True) as mrc:
        for name, value in change.items():
            mrc.header[name] = value
    with pytest.raises(ValueError, match="a.mrc"):
        read_volume(path)
    write_volume(tmp_path / "b.mrc", data, read_volume(path, 1.5))
    np.testing.assert_allclose(read_volume(str(tmp_path / "b.mrc")).voxels_zyx, 1.5, rtol=1e-6)


def test_empty_and_broken_maps_are_refused(tmp_path):
    with pytest.raises(ValueError, match="empty"):
        read_volume(write_mrc(tmp_path / "a.mrc", np.ones((3, 3, 3))))
    with pytest.raises(ValueError, match="finite"):
        read_volume(write_mrc(tmp_path / "b.mrc", np.full((3, 3, 3), np.nan)))
    (tmp_path / "c.mrc").write_bytes(b"no map")
    with pytest.raises(ValueError, match="c.mrc"):
        read_volume(str(tmp_path / "c.mrc"))


@pytest.mark.parametrize(
    "flags, stated, first, doubted",
    [
        (0, (0, 0), 230, False),
        (1, (0, 0), -26, False),
        (1, (7, 230), -26, False),
        (None, (7, 230), 230, False),
        (None, (-26, 7), -26, False),
        (None, (0, 0), -26, True),
        (None, (0, -1), -26, True),
    ],
)
@pytest.mark.parametrize("order", ["<", ">"])
def test_bytes_of_mode_0_have_the_sign_that_imod_or_their_range_states(tmp_path, flags, stated, first, doubted, order):
    """IMOD's page on MRC: imodStamp is 1146047817 at byte 152, and bit 1 of imodFlags behind it says signed bytes.
    stated: lowest and highest value by the header, MRC2014's 0 and -1 where they were not determined."""
    path, values = tmp_path / "a.mrc", np.full((16, 16, 16), 230, np.uint8)
    values[8, 8, 8] = 7
    with mrcfile.new(path) as mrc:
        mrc.set_data(np.zeros(values.shape, np.int8))
        mrc.voxel_size = 2.0
        mrc.header.dmin, mrc.header.dmax = stated
        header = mrc.header.copy()
    if order == ">":
        header = header.byteswap().view(header.dtype.newbyteorder(">"))
        header.machst = [0x11, 0x11, 0, 0]
    head = bytearray(header.tobytes())
    if flags is not None:
        head[152:160] = np.array([1146047817, flags], order + "i4").tobytes()
    path.write_bytes(bytes(head) + values.tobytes())
    stack = lambda: read_images([path] * 16, np.arange(16))
    for read in (lambda: read_volume(path).data, lambda: Tomogram(path).part(), stack):
        with collected() as said:
            values = read()
            assert values[0, 0, 0] == first and values[8, 8, 8] == 7
            assert any("whether they are signed" in text for text in said()) == doubted


def test_a_mask_with_nothing_inside_is_refused(tmp_path, data):
    volume = read_volume(write_mrc(tmp_path / "map.mrc", data))
    write_mrc(tmp_path / "mask.mrc", -data)
    with pytest.raises(ValueError, match="mask.mrc has values from -1 to .*nothing is inside it"):
        read_mask(str(tmp_path / "mask.mrc"), volume)


def test_maps_with_negative_protein_are_refused(tmp_path, data):
    noise = np.random.default_rng(0).normal(0, 0.01, (20, 20, 20)).astype(np.float32)
    noise[8:12, 8:12, 8:12] += 1
    check_density(read_volume(write_mrc(tmp_path / "a.mrc", noise)))
    with pytest.raises(ValueError, match="negative"):
        check_density(read_volume(write_mrc(tmp_path / "b.mrc", -noise)))
    hidden = np.random.default_rng(1).normal(0, 1, (48, 48, 48)).astype(np.float32)
    hidden[16:32, 16:32, 16:32] += 1
    check_density(read_volume(write_mrc(tmp_path / "c.mrc", hidden, 1.5)))
    with pytest.raises(ValueError, match="negative"):
        check_density(read_volume(write_mrc(tmp_path / "d.mrc", -hidden, 1.5)))


def test_a_mask_in_place_of_the_map_is_refused_with_a_soft_edge_too(tmp_path):
    distance = lambda side: np.linalg.norm(np.indices((side,) * 3) - side / 2, axis=0)
    edges = dict(hard=(1e-6, distance(24)), soft=(4.0, distance(24)), wide=(12.0, distance(48)))
    for name, (edge, away) in dict(edges, tiny=(1e-6, distance(48) + 6)).items():
        with pytest.raises(ValueError, match=f"{name}.mrc seems to be a mask, not a map: .* value 1. Give the map"):
            check_density(read_volume(write_mrc(tmp_path / f"{name}.mrc", np.clip((8 - away) / edge + 1, 0, 1))))
    map_zyx = np.exp(-(distance(24) ** 2) / 50) * (distance(24) < 8)
    check_density(read_volume(write_mrc(tmp_path / "masked.mrc", map_zyx)))
    map_zyx[3, 3, 3] = 3  # alone above half of the maximum
    check_density(read_volume(write_mrc(tmp_path / "hot.mrc", map_zyx)))


def test_a_map_cut_off_at_its_highest_values_is_no_mask(tmp_path):
    """Bytes often are: coarse voxels leave most of what is dense at the highest value."""
    blobs = gaussian_filter(np.random.default_rng(0).normal(size=(32, 32, 32)), 1.0)
    blobs[np.linalg.norm(np.indices(blobs.shape) - 16, axis=0) > 8] = 0
    data = np.clip(blobs / np.quantile(blobs, 0.98), 0, 1).round(2)
    assert (data == 1).sum() > 0.5 * (data > 0.5).sum()
    check_density(read_volume(write_mrc(tmp_path / "bytes.mrc", data)))


def test_noise_is_not_taken_for_negative_protein(tmp_path):
    for seed in range(20):
        noise = np.random.default_rng(seed).normal(0, 1, (32 + seed, 32, 32)).astype(np.float32)
        check_density(read_volume(write_mrc(tmp_path / f"{seed}.mrc", noise)))


def test_grids_that_differ_are_named(tmp_path, data):
    volume, other = (
        read_volume(write_mrc(tmp_path / name, values))
        for name, values in (("a.mrc", data), ("b.mrc", data[:, :, :4] + np.eye(4, dtype=np.float32)))
    )
    with pytest.raises(ValueError, match="5 x 4 x 3"):
        check_same_grid(volume, other, "mask")
