# SPDX-License-Identifier: GPL-3.0-or-later
"""Filaments: simulated ones lie where they are said to lie, traced ones follow them, segments suit RELION."""

import json

import mrcfile
import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from cryodl.contract import AllSkipped, PickFilamentsConfig
from cryodl.core.geometry import inside
from cryodl.io.star import read_tables
from cryodl.micrographs.commands.pick_filaments import pick_filaments
from cryodl.micrographs.filaments.scenes import labelled_item
from cryodl.micrographs.filaments.trace import Trace, place_segments, trace_lines
from cryodl.micrographs.filaments.train import at_edges, trace_agreement
from cryodl.micrographs.filaments.unet import FilamentUNet
from cryodl.simulate.filament_scenes import (
    FilamentScene,
    crossings,
    draw_filament,
    random_filament_scene,
    random_section,
)


def straight(start, stop, step=0.5):
    """(n, 2) yx positions `step` apart."""
    start, stop = np.array(start, float), np.array(stop, float)
    length = np.linalg.norm(stop - start)
    return start + np.arange(0, length, step)[:, None] * (stop - start) / length


def painted(lines, shape, sigma=1.2):
    """Score and direction maps as a perfect network paints them."""
    from scipy.spatial import cKDTree

    positions = np.vstack(lines)
    angle = np.concatenate([np.full(len(x), np.arctan2(*(x[-1] - x[0]))) for x in lines])
    cells = np.stack(np.indices(shape), -1).reshape(-1, 2)
    distance, nearest = cKDTree(positions).query(cells)
    return np.exp(-0.5 * (distance / sigma) ** 2).reshape(shape), angle[nearest].reshape(shape)


def test_a_drawn_filament_lies_on_its_line():
    rng = np.random.default_rng(1)
    line = straight((20, 10), (100, 118))
    image = draw_filament(line, random_section(rng), 12.0, (128, 128), rng).numpy()
    y, x = np.indices(image.shape)
    tangent = (line[-1] - line[0]) / np.linalg.norm(line[-1] - line[0])
    across = (y - line[0, 0]) * -tangent[1] + (x - line[0, 1]) * tangent[0]
    assert abs((across * image).sum() / image.sum()) < 0.8
    assert image[np.abs(across) < 8].sum() > 0.97 * image.sum()


def test_crossings_are_where_lines_cross():
    found = crossings([straight((0, 50), (100, 50)), straight((50, 0), (50, 100))], 10.0)
    assert np.linalg.norm(found - 50, axis=1).max() < 9
    assert not len(crossings([straight((0, 20), (100, 20)), straight((0, 60), (100, 60))], 10.0))


@pytest.mark.parametrize("angle", [0, 33, 90, 140])
def test_a_line_is_traced_to_a_fraction_of_a_cell(angle):
    rotation = np.array([np.sin(np.radians(angle)), np.cos(np.radians(angle))])
    line = straight(64 - 45 * rotation, 64 + 45 * rotation)
    score, direction = painted([line], (128, 128))
    (trace,) = trace_lines(score, direction, 0.5, 20, 10, np.ones((128, 128), bool))
    normal = np.array([-rotation[1], rotation[0]])
    assert np.abs((trace.positions - 64) @ normal).max() < 0.3
    assert abs(np.linalg.norm(trace.positions[-1] - trace.positions[0]) - 90) < 6


def test_pieces_on_both_sides_of_a_gap_are_one_filament_and_the_gap_has_no_segment():
    one, two = straight((64, 5), (64, 50)), straight((64, 70), (64, 120))
    score, direction = painted([one, two], (128, 128))
    (trace,) = trace_lines(score, direction, 0.5, 20, 24, np.ones((128, 128), bool))
    segments = place_segments([trace], 1.0, 3.0, (128, 128), 0.0)
    assert set(segments.tube) == {1}
    assert not ((segments.yx[:, 1] > 54) & (segments.yx[:, 1] < 66)).any()
    assert (segments.yx[:, 1] < 50).any() and (segments.yx[:, 1] > 70).any()
    apart = trace_lines(score, direction, 0.5, 20, 5, np.ones((128, 128), bool))
    assert len(apart) == 2


def test_a_filament_ends_where_its_score_has_fallen_not_where_it_fades_away():
    score, direction = painted([straight((64, 5), (64, 120))], (128, 128))
    score *= np.interp(np.arange(128), [70, 95], [0.9, 0.2])  # 0.63, of which the ends are, at 79.6
    (trace,) = trace_lines(score, direction, 0.5, 20, 10, np.ones((128, 128), bool))
    assert 75 < trace.positions[:, 1].max() < 83 and trace.positions[:, 1].min() < 8
    assert abs(trace.length - np.ptp(trace.positions[:, 1])) < 2
    assert not trace_lines(score, direction, 0.5, 79, 10, np.ones((128, 128), bool))


def test_short_and_weak_lines_are_left_out():
    score, direction = painted([straight((64, 50), (64, 65))], (128, 128))
    everywhere = np.ones((128, 128), bool)
    assert not trace_lines(score, direction, 0.5, 25, 10, everywhere)
    assert not trace_lines(0.3 * score, direction, 0.5, 5, 10, everywhere)
    assert not trace_lines(score, direction, 0.5, 5, 10, ~everywhere)


def test_segments_have_relions_angle_and_spacing():
    trace = Trace(straight((10, 10), (110, 10 + 100 / np.sqrt(3)), 1.0), 0.9, [(0, 115)])
    segments = place_segments([trace], 2.0, 40.0, (200, 200), 0.0)
    # RELION: psi is minus the angle of the axis from x towards y of the image
    assert np.allclose(segments.psi, -60, atol=0.1)
    assert np.allclose(np.linalg.norm(np.diff(segments.yx, axis=0), axis=1), 20)
    assert np.allclose(np.diff(segments.track), 40)


def test_segments_keep_away_from_the_border():
    trace = Trace(straight((50, 0), (50, 99), 1.0), 0.9, [(0, 98)])
    segments = place_segments([trace], 1.0, 2.0, (100, 100), 20.0)
    assert len(segments.tube) and inside(segments.yx, (100, 100), 20.0).all()


def test_agreement_counts_lengths_and_forgives_what_is_not_clear():
    line = straight((50, 0), (50, 100))
    clear = line[:, 1] < 60
    exact = trace_agreement([line], [line], [clear], 10.0)
    assert exact.right == exact.traced and exact.found == exact.true and abs(exact.true - 60) < 2
    assert exact.metrics()["angle_mean"] < 0.1
    off = trace_agreement([line + (4, 0)], [line], [np.ones(len(line), bool)], 10.0).metrics()
    assert off["precision"] == 0 and off["recall"] == 0
    assert trace_agreement([], [line], [clear], 10.0).metrics()["recall"] == 0


def test_turned_crops_keep_directions_on_their_lines():
    image = torch.from_numpy(np.random.default_rng(0).normal(0, 1, (256, 256)).astype(np.float32))
    line = straight((20, 0), (230, 255))
    scene = FilamentScene(image, [line], torch.zeros((256, 256), dtype=torch.bool), 14.0, 5.0)
    item, method, seen = labelled_item(scene, 16.0), FilamentUNet(), set()
    for seed in range(16):
        _, target, weight = method.example(item, np.random.default_rng(seed))
        at = np.argwhere((target[0].numpy() > 0.8) & (weight[0].numpy() > 0))
        axis = np.linalg.svd(at - at.mean(0), full_matrices=False)[2][0]
        angle = np.arctan2(axis[0], axis[1])
        mean = target[1:, target[0] > 0.8].mean(1).numpy()
        assert np.cos(2 * angle) * mean[0] + np.sin(2 * angle) * mean[1] > 0.99
        seen.add(round(np.degrees(angle) % 180 / 10))
    assert len(seen) >= 2  # both mirrors and quarter turns were drawn


@pytest.fixture(scope="module")
def micrograph(tmp_path_factory):
    """A bent tube of 200 Å at 5 Å/px in strong noise: path, centre line."""
    folder, rng = tmp_path_factory.mktemp("filaments"), np.random.default_rng(5)
    along = np.linspace(0, 1, 1400)
    line = np.stack([300 + 60 * np.sin(3 * along), 20 + 640 * along], 1)
    distance = np.abs(np.arange(600)[:, None] - np.interp(np.arange(700), line[:, 1], line[:, 0])[None])
    profile = np.where(distance < 20, 0.35 + 0.5 * (np.abs(distance - 16) < 3), 0)
    image = rng.normal(0, 1, (600, 700)) - profile * (np.arange(700) > 20) * (np.arange(700) < 660)
    path = folder / "tube.mrc"
    mrcfile.write(path, image.astype(np.float32))
    return path, line


def config(path, output, **values):
    return PickFilamentsConfig(
        micrographs=(str(path),), pixel_size=5.0, filament_diameter=200.0, output=str(output), **values
    )


def test_the_shipped_model_traces_a_filament_and_writes_relions_columns(micrograph, tmp_path):
    path, line = micrograph
    result = pick_filaments(config(path, tmp_path / "picks", segment_distance=50.0))
    assert "segment" in result.summary[0] and "trained on simulated micrographs" in result.methods[0]
    (table,) = read_tables(tmp_path / "picks" / "tube.star").values()
    assert tuple(table) == (
        *("rlnCoordinateX", "rlnCoordinateY", "rlnHelicalTubeID", "rlnAngleTiltPrior", "rlnAnglePsiPrior"),
        *("rlnHelicalTrackLengthAngst", "rlnAnglePsiFlipRatio", "rlnAutopickFigureOfMerit"),
    )
    x, y = (np.array(table[name], float) for name in ("rlnCoordinateX", "rlnCoordinateY"))
    along = x < 640  # at its end, at 660, a filament may be traced half a width too far
    assert np.abs(y - np.interp(x, line[:, 1], line[:, 0]))[along].max() < 10  # a quarter of its width
    assert np.ptp(x) > 500 and x.max() < 680 and set(table["rlnHelicalTubeID"]) == {"1"}
    slope = np.degrees(np.arctan(np.interp(x, line[:, 1], np.gradient(line[:, 0], line[:, 1]))))
    assert np.abs((np.array(table["rlnAnglePsiPrior"], float) + slope + 90) % 180 - 90)[along].max() < 8
    assert result.outputs["segments"] == len(x) and result.outputs["filaments"] == {"tube": 1}
    assert (tmp_path / "picks" / "pictures" / "tube.png").exists()


def test_a_folder_of_results_called_as_the_shipped_model_is_not_taken_for_it(micrograph, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert pick_filaments(config(micrograph[0], "filaments", pictures=0)).outputs["segments"]


def test_noise_alone_has_no_filaments_and_says_so(tmp_path):
    mrcfile.write(tmp_path / "noise.mrc", np.random.default_rng(0).normal(0, 1, (700, 700)).astype(np.float32))
    result = pick_filaments(config(tmp_path / "noise.mrc", tmp_path / "picks"))
    assert result.outputs["segments"] == 0 and "No filament was found" in " ".join(result.warnings)


def test_finished_micrographs_are_kept_and_changed_ones_picked_again(micrograph, tmp_path):
    path, _ = micrograph
    copy = tmp_path / "copy.mrc"
    copy.write_bytes(path.read_bytes())
    pick_filaments(config(copy, tmp_path / "picks", pictures=0))
    again = pick_filaments(config(copy, tmp_path / "picks", pictures=0))
    assert again.device.startswith("none")
    with pytest.raises(ValueError, match=r"threshold .* \(now 0.9\).*--overwrite"):
        pick_filaments(config(copy, tmp_path / "picks", threshold=0.9))
    mrcfile.write(copy, np.random.default_rng(0).normal(0, 1, (700, 700)).astype(np.float32), overwrite=True)
    assert pick_filaments(config(copy, tmp_path / "picks", pictures=0)).outputs["segments"] == 0


def test_filaments_of_a_micrograph_that_is_gone_stay(micrograph, tmp_path):
    first, second = tmp_path / "a.mrc", tmp_path / "b.mrc"
    for copy in (first, second):
        copy.write_bytes(micrograph[0].read_bytes())
    values = dict(micrographs=(str(first), str(second)), pixel_size=5.0, filament_diameter=200.0, pictures=2)
    run = lambda: (
        pick_filaments(PickFilamentsConfig(output=str(tmp_path / "picks"), **values), names=("a", "b")).outputs
    )
    before = run()
    first.unlink()
    after = run()
    assert (tmp_path / "picks" / "a.star").exists() and before["counts"] == after["counts"] and after["counts"]["a"]
    assert sorted(before["pictures"]) == ["a", "b"] and sorted(after["pictures"]) == ["b"]


def test_a_bad_micrograph_is_skipped_and_named(micrograph, tmp_path):
    (tmp_path / "bad.mrc").write_bytes(b"no image")
    both = PickFilamentsConfig(
        micrographs=(str(micrograph[0]), str(tmp_path / "bad.mrc")),
        pixel_size=5.0,
        filament_diameter=200.0,
        output=str(tmp_path / "picks"),
        pictures=0,
    )
    result = pick_filaments(both)
    assert [s.item for s in result.skipped] == ["bad"] and result.outputs["segments"]
    with pytest.raises(AllSkipped, match="Of 1 micrograph, none"):
        pick_filaments(config(tmp_path / "bad.mrc", tmp_path / "none"))


def test_a_foreign_record_is_not_taken(micrograph, tmp_path):
    (tmp_path / "picks").mkdir()
    (tmp_path / "picks" / "tube.json").write_text(json.dumps({"kind": "other"}))
    with pytest.raises(ValueError, match="not a record of this command .filaments of a micrograph"):
        pick_filaments(config(micrograph[0], tmp_path / "picks"))


def test_a_training_writes_a_model_that_picks(tmp_path, monkeypatch):
    from cryodl.contract import TrainFilamentPickerConfig
    from cryodl.micrographs.commands.train_filament_picker import train_filament_picker

    small = lambda diameter, rng: random_filament_scene(diameter, rng, side=208)
    monkeypatch.setattr("cryodl.micrographs.commands.train_filament_picker.random_filament_scene", small)
    torch.set_num_threads(1)
    result = train_filament_picker(
        TrainFilamentPickerConfig(output=str(tmp_path / "model"), simulated=4, steps=2, batch_size=1)
    )
    card = json.loads((tmp_path / "model" / "card.json").read_text())
    assert card["kind"] == "filament_picker" and 0 < card["threshold"] < 1
    assert set(result.outputs["validation"]) == {"precision", "recall", "f1", "angle_median", "angle_mean"}


def test_the_edge_of_a_carbon_film_is_no_filament_unless_it_is_asked_for(micrograph, tmp_path):
    rng = np.random.default_rng(3)
    image = rng.normal(0, 1, (900, 900)).astype(np.float32)
    x, rim = np.arange(900)[None], lambda from_edge: np.exp(-((from_edge / 10) ** 2))
    behind = np.arange(900)[:, None] - (560 + 0.12 * x + 3e-4 * (x - 450) ** 2)
    grain = gaussian_filter(rng.normal(0, 1, image.shape), 2)
    film = np.where(behind > 0, 0.8 * (1 + grain / grain.std()), 0)
    image -= film + 2 * rim(behind) - 1.2 * rim(behind + 17)  # a dark rim and its bright fringe
    mrcfile.write(tmp_path / "carbon.mrc", image.astype(np.float32))
    picked = pick_filaments(config(tmp_path / "carbon.mrc", tmp_path / "picks", pictures=0))
    assert picked.outputs["segments"] == 0 and picked.outputs["at_edges"] == {"carbon": 1}
    kept = pick_filaments(config(tmp_path / "carbon.mrc", tmp_path / "kept", pictures=0, keep_edges=True))
    assert kept.outputs["segments"] > 10 and kept.outputs["at_edges"] == {"carbon": 0}


def test_only_what_runs_along_an_edge_is_left_out():
    valid = np.ones((400, 400), bool)
    valid[:, :40] = False  # a filled margin
    image = np.random.default_rng(0).normal(0, 1, valid.shape)
    line = lambda start, stop: Trace(straight(start, stop, 2.0), 0.8, [(0, 99)])
    traces = [line((20, 50), (380, 50)), line((200, 44), (200, 380)), line((20, 200), (380, 200))]
    assert at_edges(traces, image, valid, 16.0).tolist() == [True, False, False]
    assert at_edges([], image, valid, 16.0).shape == (0,)


def test_the_edge_of_the_field_is_no_filament_with_film_or_without():
    noise, valid = np.random.default_rng(0).normal(0, 1, (250, 250)), np.ones((250, 250), bool)
    grain = gaussian_filter(noise[::-1], 2)
    film = noise - np.where(np.arange(250) < 90, 3 + 4 * grain / grain.std(), 0)
    line = lambda x: Trace(straight((5, x), (245, x), 2.0), 0.8, [(0, 99)])
    assert at_edges([line(240), line(200)], film, valid, 16.0).tolist() == [True, False]
    assert at_edges([line(240), line(200)], noise, valid, 16.0).tolist() == [True, False]


def test_records_of_versions_that_kept_edges_go_on_with_edges_kept(micrograph, tmp_path):
    pick_filaments(config(micrograph[0], tmp_path / "picks", pictures=0))
    file = tmp_path / "picks" / "tube.json"
    record = json.loads(file.read_text())
    del record["settings"]["keep_edges"], record["at_edges"]
    file.write_text(json.dumps(record))
    with pytest.raises(ValueError, match=r"keep edges True \(now False\)"):
        pick_filaments(config(micrograph[0], tmp_path / "picks", pictures=0))
    again = pick_filaments(config(micrograph[0], tmp_path / "picks", pictures=0, keep_edges=True))
    assert again.device.startswith("none") and again.outputs["at_edges"] == {"tube": 0}


def _beaded_tube(n, diameter, px, snr, colour, rng):
    """A hollow tube of 13 strands across a micrograph of noise, by code of its own, and the tube's centre line. colour:
    power of the ice's noise over the detector's, 0 for white noise."""
    radius, along = diameter / px / 2, np.arange(0.0, n, 0.25)
    line = np.stack([0.35 * n + 0.3 * along, along], 1)
    number = 300 * len(along)
    where, strand = rng.integers(len(along), size=number), rng.integers(13, size=number)
    across = radius * rng.normal(0.85, 0.075, number) * np.sin(2 * np.pi * strand / 13 + where * 5e-4)
    across = across[:, None] * np.array([0.958, -0.287])
    beads = np.floor(line[where] + across).astype(int)
    image = np.zeros((n, n))
    np.add.at(image, tuple(beads[((beads >= 0) & (beads < n)).all(1)].T), 1.0)
    y, x = np.fft.fftfreq(n, px)[:, None], np.fft.rfftfreq(n, px)[None]
    phase = np.pi * 0.0197 * 15000 * (x**2 + y**2) + 0.1
    image = np.fft.irfft2(np.fft.rfft2(image) * -np.sin(phase) * np.exp(-20 * (x**2 + y**2)), (n, n))
    yy, xx = np.indices((n, n))
    inside = np.abs((yy - 0.35 * n - 0.3 * xx) * 0.958) < radius
    noise = np.fft.rfft2(rng.normal(size=(n, n))) * np.sqrt(1 + colour / (1 + 1600 * (x**2 + y**2)))
    noise = np.fft.irfft2(noise, (n, n))
    return (image + noise / noise.std() * np.sqrt(image[inside].var() / snr)).astype(np.float32), line


@pytest.mark.parametrize(("stated", "colour", "snr"), [(0.75, 0.0, 0.15), (1.0, 8.0, 0.5)])
def test_the_shipped_model_finds_hollow_tubes_in_any_noise_and_if_stated_too_thin(stated, colour, snr):
    from cryodl.io.model import find_model, read_model
    from cryodl.learning.task import method_of
    from cryodl.micrographs.filaments.train import FilamentPicker, TraceAgreement
    from cryodl.micrographs.pickers import load_network

    card, weights = read_model(find_model("filaments"), "filament_picker")
    method, total = method_of("filament_picker", "unet"), TraceAgreement()
    picker = FilamentPicker(method, load_network(method, weights, "filaments"), torch.device("cpu"))
    for seed in range(4, 8):
        image, line = _beaded_tube(640, 250.0, 4.0, snr, colour, np.random.default_rng(seed))
        traces, _ = picker.lines(image, 4.0, stated * 250, card["threshold"], 1000.0)
        seen = [trace.positions[first : last + 1] for trace in traces for first, last in trace.fragments]
        total += trace_agreement(seen, [line], [np.ones(len(line), bool)], 62.5)
    assert total.metrics()["recall"] >= 0.85 and total.metrics()["precision"] >= 0.95
