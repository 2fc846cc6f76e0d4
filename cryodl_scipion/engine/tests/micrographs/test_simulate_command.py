# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl simulate-micrographs`: files that gemmi and RELION read, the same after a stop, and bad input in one
sentence."""

import re
import shutil
import subprocess

import gemmi
import mrcfile
import numpy as np
import pytest
from synthetic import correlation, lopsided_density, write_mrc

from cryodl.contract import Failure, Result
from cryodl.io.coordinates import read_coordinates
from cryodl.io.particles import PARTICLES
from cryodl.io.relion_tables import read_orientations
from cryodl.running.cli import main

ANGLES = "\ndata_particles\n\nloop_\n_rlnAngleRot #1\n_rlnAngleTilt #2\n_rlnAnglePsi #3\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_mrc("map.mrc", lopsided_density(), 4.0)
    return tmp_path


def simulate(output="sim", code=0, **options):
    """Result, or the failure's message if `code` is not 0."""
    options = dict(
        dict(
            structure="map.mrc",
            pixel_size=4,
            count=2,
            size=320,
            particles=12,
            device="cpu",
            threads=1,
            output=output,
            result=f"{output}.json",
        ),
        **options,
    )
    words = ["simulate-micrographs"]
    for name, value in options.items():
        words += ["--" + name.replace("_", "-"), *map(str, value if isinstance(value, list) else [value])]
    assert main(words) == code
    return Result.read(f"{output}.json") if code == 0 else Failure.read("failure.json").message


def particles(path):
    """{column: list} of the particles' table."""
    block = gemmi.cif.read_file(str(path)).find_block("particles")
    return {name: list(block.find_loop(f"_{name}")) for name in PARTICLES}


def test_particles_are_cut_out_with_all_that_relion_wants(folder):
    outputs = simulate(box_size=40, snr=2, particles=15).outputs
    table = particles(outputs["particle_stack"])
    optics = gemmi.cif.read_file(outputs["particle_stack"]).find_block("optics")
    assert [float(optics.find_loop(f"_rln{k}")[0]) for k in ("ImagePixelSize", "ImageSize", "Voltage")] == [4, 40, 300]
    ground_truth = read_coordinates("sim/coordinates")
    index = {name: 0 for name in ground_truth}
    for image, micrograph, *numbers in zip(
        *(
            table[k]
            for k in (
                "rlnImageName",
                "rlnMicrographName",
                "rlnCoordinateX",
                "rlnCoordinateY",
                "rlnOriginXAngst",
                "rlnOriginYAngst",
            )
        )
    ):
        number, path = image.split("@")
        x, y, dx, dy = map(float, numbers)
        name = micrograph[len("micrographs/") : -len(".mrc")]
        index[name] += 1
        assert int(number) == index[name] and path == f"particles/{name}.mrcs"
        gaps = np.abs(ground_truth[name][0] - [y - dy / 4, x - dx / 4]).max(1)
        assert gaps.min() < 1e-3 and abs(dx) <= 2 and abs(dy) <= 2
        stack, mic = mrcfile.read("sim/" + path), mrcfile.read("sim/" + micrograph)
        cut = mic[int(y) - 20 : int(y) + 20, int(x) - 20 : int(x) + 20]
        assert stack.shape[1:] == (40, 40) and correlation(stack[int(number) - 1], -cut) > 0.9999
    assert sum(index.values()) == len(table["rlnImageName"]) > 15 and not (folder / "sim/done").exists()


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("relion_reconstruct"), reason="RELION is not installed")
def test_relion_reconstructs_the_input_map_from_the_particles(folder):
    """By their files alone: angles, origins, CTF and sign of the images must all be RELION's."""
    simulate(count=6, size=640, particles=60, snr=5, box_size=48, astigmatism=2000)
    subprocess.run(
        ["relion_image_handler", "--i", "particles.star", "--stats"], cwd="sim", check=True, capture_output=True
    )
    subprocess.run(
        ["relion_reconstruct", "--i", "particles.star", "--o", "map.mrc", "--ctf"],
        cwd="sim",
        check=True,
        capture_output=True,
    )
    found = mrcfile.read("sim/map.mrc")[8:40, 8:40, 8:40]
    ground_truth = lopsided_density()
    ball = (np.stack(np.mgrid[:32, :32, :32]) - 16.0).__pow__(2).sum(0) < 14**2
    right = correlation(found[ball], ground_truth[ball])
    assert right > 0.95
    for wrong in (found[::-1], found[:, ::-1], found.transpose(2, 1, 0)):
        assert correlation(wrong[ball], ground_truth[ball]) < right - 0.1


def test_all_that_spoils_micrographs_at_once(folder):
    (folder / "views.star").write_text(ANGLES + "10 20 30\n")
    plain = mrcfile.read(simulate("plain", count=1).outputs["micrographs"] + "/simulated_0001.mrc")
    write_mrc("real.mrc", (plain * 3 + 50).astype(np.float32), 4.0)
    result = simulate(
        count=3,
        ice=3,
        aggregates=1,
        carbon=0.5,
        gradient=4,
        minimum_distance=0.6,
        snr=0.02,
        snr_max=2,
        dose=20,
        orientations="views.star",
        noise_from=["real.mrc"],
        contrast="bright",
        box_size=40,
    )
    assert {p.name for p in (folder / "sim").iterdir()} == {
        "micrographs",
        "coordinates",
        "ctf",
        "masks",
        "particles",
        "particles.star",
    }
    assert set(particles("sim/particles.star")["rlnAngleTilt"]) == {"20.0000"}
    covered = [mrcfile.read(p).mean() for p in sorted((folder / "sim/masks").iterdir())]
    assert len(covered) == 3 and 0 < max(covered) < 1 and result.outputs["masks"] == "sim/masks"
    images = [mrcfile.read(p) for p in sorted((folder / "sim/micrographs").iterdir())]
    assert all(np.isfinite(i).all() and i.std() > 1 for i in images)


def test_without_spoilers_there_is_no_mask_and_no_stack(folder):
    result = simulate()
    outputs = result.outputs
    assert re.match(
        r"^cryodl \S+ simulated 2 micrographs with \d+ particles of map.mrc at 4 Å/px and 300 kV, with "
        r"defoci from 8000 to 25000 Å, 40 e/Å² and a signal-to-noise ratio of 0.05.$",
        result.methods[0],
    )
    assert outputs["masks"] is None and outputs["particle_stack"] is None
    assert {p.name for p in (folder / "sim").iterdir()} == {"micrographs", "coordinates", "ctf"}


def test_the_dose_scales_the_signal_and_each_micrograph_has_an_snr_of_its_own(folder):
    at = lambda name, **more: mrcfile.read(
        simulate(name, count=1, snr=1, **more).outputs["micrographs"] + "/simulated_0001.mrc"
    )
    none, usual, four = at("a", dose=0.1), at("b"), at("c", dose=160)
    low = 0.0025**0.5
    signal = (usual - none) / (1 - low)
    assert np.allclose(four - none, (2 - low) * signal, atol=0.01)
    simulate("d", count=4, snr=0.5, snr_max=500)
    assert np.ptp(np.log([mrcfile.read(p).std() for p in (folder / "d/micrographs").iterdir()])) > 0.5


def test_a_stopped_run_continues_and_ends_as_if_it_had_not_been_stopped(folder, monkeypatch):
    simulate("whole", count=3, box_size=40, ice=2)
    import cryodl.micrographs.simulated_files as files

    write = files.write_simulated

    def stop_at_third(where, name, *more):
        if name.endswith("3"):
            raise KeyboardInterrupt
        return write(where, name, *more)

    monkeypatch.setattr(files, "write_simulated", stop_at_third)
    simulate("cut", 130, count=3, box_size=40, ice=2)
    assert not (folder / "cut").exists()
    before = {p: p.stat().st_mtime_ns for p in (folder / "cut.partial/micrographs").iterdir()}
    monkeypatch.setattr(files, "write_simulated", write)
    simulate("cut", count=3, box_size=40, ice=2)
    assert len(before) == 2
    assert all((folder / "cut/micrographs" / p.name).stat().st_mtime_ns == t for p, t in before.items())
    for path in (p.relative_to(folder / "whole") for p in (folder / "whole").rglob("*") if p.is_file()):
        one, other = ((folder / run / path).read_bytes() for run in ("whole", "cut"))
        skip = 1024 if ".mrc" in path.name else 0  # an MRC's header tells the time
        assert one[skip:] == other[skip:], path


def test_a_run_with_other_parameters_begins_anew_and_a_foreign_folder_is_left_alone(folder, monkeypatch):
    import cryodl.micrographs.simulated_files as files

    monkeypatch.setattr(
        files, "write_simulated", lambda *a: (_ for _ in ()).throw(OSError(28, "No space left on device"))
    )
    assert "No space" in simulate("sim", 2)
    monkeypatch.undo()
    monkeypatch.chdir(folder)
    simulate("sim", count=1)
    assert len(list((folder / "sim/micrographs").iterdir())) == 1 and not (folder / "sim.partial").exists()
    (folder / "mine.partial").mkdir()
    (folder / "mine.partial/thesis.txt").write_text("precious")
    assert "mine.partial" in simulate("mine", 2) and (folder / "mine.partial/thesis.txt").exists()


@pytest.mark.parametrize(
    "options, words",
    [
        (dict(orientations="gone.star"), "gone.star does not exist"),
        (dict(orientations="tiltless.star"), "tiltless.star has rlnAngleRot, but not rlnAngleTilt, rlnAnglePsi"),
        (dict(orientations="letters.star"), "letters.star: row 2 has rlnAngle"),
        (dict(noise_from=["gone*.mrc"]), "No file matches"),
        (dict(noise_from=["zeros.mrc"]), "noise of zeros.mrc cannot be measured: the image is constant"),
        (
            dict(noise_from=["small.mrc"]),
            "noise of small.mrc cannot be measured: the image of 40 x 40 px is smaller than a patch",
        ),
        (dict(box_size=12), "Box size (--box-size) is 12 px"),
        (dict(structure="map.mrc", pixel_size=0.05, size=8000), "map.mrc is 2560 px wide at 0.05 Å/px"),
        (dict(snr_max=0.001), "--snr-max"),
        (dict(maximum_defocus=10), "--maximum-defocus"),
        (dict(count=0), "--count"),
        (dict(orientations="empty.star"), "empty.star has no angles"),
    ],
)
def test_what_cannot_be_simulated_is_said(folder, options, words):
    (folder / "tiltless.star").write_text("\ndata_\n\nloop_\n_rlnAngleRot #1\n1.0\n")
    (folder / "letters.star").write_text(ANGLES + "1 2 3\n1 two 3\n")
    (folder / "empty.star").write_text(ANGLES)
    write_mrc("zeros.mrc", np.zeros((200, 200), np.float32))
    write_mrc("small.mrc", np.random.default_rng(0).normal(size=(40, 40)).astype(np.float32))
    assert words in simulate("out", 2, **options)
    assert not (folder / "out").exists()


def test_orientations_are_read_from_relions_tables(folder):
    (folder / "run_data.star").write_text(
        "\ndata_optics\n\nloop_\n_rlnOpticsGroup #1\n1\n" + ANGLES + "1 2 3\n-4 5.5 6\n"
    )
    assert read_orientations("run_data.star").tolist() == [[1, 2, 3], [-4, 5.5, 6]]


def test_particles_that_find_no_room_are_warned_of(folder):
    crowded = simulate(particles=500, count=1)
    assert any(f"Only {crowded.outputs['particles']} of 500 particles fit" in w for w in crowded.warnings)
    assert simulate("none", particles=0, count=1, box_size=40).outputs["particles"] == 0


def test_a_movie_has_the_micrograph_moved_by_the_drift_beside_it(folder):
    outputs = simulate(frames=12, drift=40, snr=100, count=1).outputs
    path = np.loadtxt("sim/movies/simulated_0001.csv", delimiter=",", skiprows=1)
    frames, whole = (
        mrcfile.read(f"{outputs['movies']}/simulated_0001.mrcs"),
        mrcfile.read("sim/micrographs/simulated_0001.mrc"),
    )
    assert frames.shape == (12, 320, 320) and frames.dtype == np.int16
    assert path[:, 0].tolist() == list(range(1, 13)) and not path[0, 1:].any()
    assert np.hypot(*path[-1, 1:]) == pytest.approx(10, abs=4)
    coefficients = np.fft.fft2(frames)
    y, x = np.meshgrid(np.fft.fftfreq(320), np.fft.fftfreq(320), indexing="ij")
    turned = np.exp(2j * np.pi * (path[:, 2, None, None] * y + path[:, 1, None, None] * x))
    corrected, blurred = np.fft.ifft2((coefficients * turned).sum(0)).real, frames.sum(0)
    signal = correlation(corrected, whole)
    assert signal > 0.8 and signal > correlation(blurred, whole) + 0.03  # noise is of its own
    assert corrected.std() == pytest.approx(100 * whole.std(), rel=0.05)


def test_without_frames_there_is_no_movie_and_micrographs_are_the_same(folder):
    first = simulate(count=1)
    simulate("with", count=1, frames=3)
    assert first.outputs["movies"] is None and not (folder / "sim" / "movies").exists()
    assert np.array_equal(*(mrcfile.read(f"{name}/micrographs/simulated_0001.mrc") for name in ("sim", "with")))


def test_a_movie_has_the_noise_of_its_micrograph_and_not_of_another_file(folder):
    rng, coarse = np.random.default_rng(0), np.hypot(np.fft.fftfreq(256)[:, None], np.fft.rfftfreq(256))
    white = rng.normal(size=(256, 256))
    smooth = np.fft.irfft2(np.fft.rfft2(white) * np.exp(-((8 * coarse) ** 2)))
    for name, image in (("white", white), ("smooth", smooth)):
        write_mrc(f"{name}.mrc", (image / image.std()).astype(np.float32), 4.0)
    simulate(count=6, frames=4, drift=0, snr=0.001, noise_from=["white.mrc", "smooth.mrc"])
    power = lambda image: np.abs(np.fft.rfft2(image - image.mean())) ** 2
    fine = lambda image: power(image)[:, 80:].sum() / power(image).sum() > 0.1
    images = [mrcfile.read(f"sim/micrographs/simulated_{n:04d}.mrc") for n in range(1, 7)]
    movies = [mrcfile.read(f"sim/movies/simulated_{n:04d}.mrcs").sum(0, dtype=float) for n in range(1, 7)]
    assert [fine(one) for one in images] == [fine(one) for one in movies] and len({fine(one) for one in images}) == 2
