# SPDX-License-Identifier: GPL-3.0-or-later
"""estimate-ctf: defocus and its axis against a CTF written out here, what is skipped and why, continuing, the table."""

import json
import os

import numpy as np
import pytest
from synthetic import write_mrc

from cryodl.contract import EstimateCtfConfig, Result, check
from cryodl.core.optics import ctf_rfft
from cryodl.io.star import read_tables
from cryodl.micrographs.ctf import Microscope, SearchRange, checked, fit_ctf, lowest_defocus
from cryodl.micrographs.ctf.model import window_loss
from cryodl.running.cli import main

KRIOS = Microscope(300.0, 2.7, 0.1)
PIXEL = 2.0  # Å


def known_ctf(side, defocus_u, defocus_v, angle, phase_shift=0.0, pixel_size=PIXEL):
    """CTF of a 300 kV microscope on the grid of rfft2: angle in degrees from x (columns) to y (rows)."""
    y, x = np.fft.fftfreq(side, pixel_size)[:, None], np.fft.rfftfreq(side, pixel_size)[None]
    squared, wave = x**2 + y**2, 0.0196874
    defocus = (
        defocus_u * np.cos(np.arctan2(y, x) - np.radians(angle)) ** 2
        + defocus_v * np.sin(np.arctan2(y, x) - np.radians(angle)) ** 2
    )
    phase = np.pi * wave * squared * (defocus - 0.5 * 2.7e7 * wave**2 * squared)
    return np.sin(phase + np.arcsin(0.1) + np.radians(phase_shift))


def micrograph(side=768, seed=0, strength=0.5, **ctf):
    """Noise that passed a CTF, in noise."""
    random = np.random.default_rng(seed)
    white = lambda: np.fft.rfft2(random.standard_normal((side, side)))
    transform = white() + strength * white() * (known_ctf(side, **ctf) if strength else 0)
    return np.fft.irfft2(transform, s=(side, side)).astype(np.float32)


def test_the_wavelength_is_that_of_relativistic_electrons():
    assert [Microscope(v, 2.7, 0.1).wavelength for v in (300, 200, 100)] == pytest.approx(
        [0.019687, 0.025079, 0.037014], rel=1e-4
    )


def test_the_window_weakens_a_wave_as_its_autocorrelation():
    window = np.hanning(1001)
    for shift in (0, 100, 250, 600):
        assert window_loss(shift / 1000) == pytest.approx(
            (window[shift:] * window[: 1001 - shift]).sum() / (window**2).sum(), abs=1e-3
        )


@pytest.mark.parametrize("angle", (30, 100, 170))
def test_defocus_and_its_axis_are_found(angle):
    fit = checked(fit_ctf(micrograph(defocus_u=15500, defocus_v=14700, angle=angle), PIXEL, KRIOS, SearchRange()))
    assert fit.defocus_u == pytest.approx(15500, abs=100) and fit.defocus_v == pytest.approx(14700, abs=100)
    assert abs((fit.defocus_angle - angle + 90) % 180 - 90) < 4
    assert fit.resolution < 4.8 and fit.correlation > 0.7


def test_the_engines_own_ctf_has_the_same_axis_and_sign():
    mine = known_ctf(256, 15500, 14700, 30)
    theirs = ctf_rfft((256, 256), PIXEL, 15500, 14700, 30, 300, 2.7, 0.1).numpy()
    assert np.abs(mine - theirs).max() < 0.02


def test_a_phase_plates_shift_is_found():
    image = micrograph(defocus_u=9000, defocus_v=9000, angle=0, phase_shift=70)
    fit = fit_ctf(image, PIXEL, KRIOS, SearchRange(maximum_defocus=20000, phase_shift=True))
    assert fit.phase_shift == pytest.approx(70, abs=8) and fit.defocus_u == pytest.approx(9000, abs=250)
    with pytest.raises(ValueError, match="a phase plate was used and not stated .--find-phase-shift"):
        checked(fit_ctf(image, PIXEL, KRIOS, SearchRange()))
    image = micrograph(seed=1, defocus_u=9000, defocus_v=9000, angle=0)
    fit = fit_ctf(image, PIXEL, KRIOS, SearchRange(maximum_defocus=20000, phase_shift=True))
    assert fit.phase_shift == 0 and fit.defocus_u == pytest.approx(9000, abs=250)  # a shift is not needed


def test_rings_of_ice_beyond_the_fitted_range_refuse_no_fit():
    """A powder ring at 3.67 Å, four times the noise there."""
    image, random = micrograph(1024, defocus_u=8200, defocus_v=7800, angle=30, pixel_size=1.0), np.random.default_rng(9)
    squared = np.fft.fftfreq(1024)[:, None] ** 2 + np.fft.rfftfreq(1024) ** 2
    ring = 2 * np.exp(-(((np.sqrt(squared) - 1 / 3.67) / 0.012) ** 2))
    image += np.fft.irfft2(np.fft.rfft2(random.standard_normal(image.shape)) * ring, s=image.shape).astype(np.float32)
    fit = checked(fit_ctf(image, 1.0, KRIOS, SearchRange()))
    assert fit.defocus_u + fit.defocus_v == pytest.approx(16000, abs=300)


def test_noise_whose_rings_agree_nowhere_is_refused_from_any_lowest_frequency():
    """1 / (1 / f) is below some frequencies f, so that nothing was left to correlate."""
    noise = np.random.default_rng(1).normal(size=(512, 512)).astype(np.float32)
    fit = fit_ctf(noise, 3.8, KRIOS, SearchRange(), 18.0)
    assert fit.resolution == 1 / fit.profile.frequency[0] and fit.correlation == 0
    with pytest.raises(ValueError, match="no significant Thon rings"):
        checked(fit)


def test_no_astigmatism_is_fitted_where_none_is_asked_for():
    fit = fit_ctf(micrograph(defocus_u=15500, defocus_v=14700, angle=30), PIXEL, KRIOS, SearchRange(astigmatism=0))
    assert fit.defocus_u == fit.defocus_v == pytest.approx(15100, abs=100)


def test_coarse_pixels_need_more_defocus():
    assert lowest_defocus(KRIOS, 5.36, 5.0) == pytest.approx(2 / (0.019687 * (0.95 / 10.72) ** 2), rel=1e-3)
    assert lowest_defocus(KRIOS, 1.0, 5.0) == pytest.approx(2540, abs=10)


@pytest.mark.parametrize(
    "values, part",
    (
        (dict(minimum_defocus=9e3, maximum_defocus=8e3), "not above the minimum defocus"),
        (dict(pixel_size=12.0), "finest resolution that the pixel size allows, 25.3 Å"),
        (dict(output="ctf.txt"), "must end in .star"),
    ),
)
def test_values_that_do_not_fit_each_other_are_said(values, part):
    config = dict(
        dict(micrographs=("a.mrc",), pixel_size=1.0, voltage=300.0, spherical_aberration=2.7, output="ctf.star"),
        **values,
    )
    assert part in " ".join(check(EstimateCtfConfig(**config)))


# ----- the command
@pytest.fixture
def folder(tmp_path):
    (tmp_path / "mics").mkdir()
    for number, defocus in ((1, 12000), (2, 20000)):
        write_mrc(
            tmp_path / f"mics/m{number}.mrc",
            micrograph(512, number, 0.8, defocus_u=defocus, defocus_v=defocus - 500, angle=60),
            PIXEL,
        )
    return tmp_path


def run(folder, *more, micrographs=("mics/*.mrc",), pixel_size=PIXEL):
    return main(
        [
            "estimate-ctf",
            "--micrographs",
            *(str(folder / m) for m in micrographs),
            "--pixel-size",
            str(pixel_size),
            "--voltage",
            "300",
            "--spherical-aberration",
            "2.7",
            "--output",
            str(folder / "ctf.star"),
            "--threads",
            "1",
            "--result",
            str(folder / "result.json"),
            *more,
        ]
    )


def test_relions_table_and_the_spectra_are_written(folder):
    assert run(folder) == 0
    tables, outputs = read_tables(folder / "ctf.star"), Result.read(folder / "result.json").outputs
    result = Result.read(folder / "result.json")
    assert "2 micrographs, mean defocus" in result.summary[0] and "between 30 and 5 Å" in result.methods[0]
    optics, rows = tables["optics"], tables["micrographs"]
    assert float(optics["rlnVoltage"][0]) == 300 and float(optics["rlnSphericalAberration"][0]) == 2.7
    assert float(optics["rlnAmplitudeContrast"][0]) == 0.1 and float(optics["rlnMicrographPixelSize"][0]) == PIXEL
    assert rows["rlnMicrographName"] == [str(folder / f"mics/m{n}.mrc") for n in (1, 2)]
    assert [float(v) for v in rows["rlnDefocusU"]] == pytest.approx([12000, 20000], abs=250)
    assert [float(v) for v in rows["rlnDefocusV"]] == pytest.approx([11500, 19500], abs=250)
    assert set(rows["rlnOpticsGroup"]) == {"1"} and float(rows["rlnCtfMaxResolution"][0]) < 8
    assert all(os.path.exists(path) for path in outputs["spectra"].values())
    assert outputs["fits"]["m1"]["defocus_u"] == pytest.approx(float(rows["rlnDefocusU"][0]), abs=0.01)


@pytest.mark.parametrize("highest, named", (("10.9", "1 micrograph (m1) lies below 12070"), ("10", None)))
def test_a_defocus_of_too_few_rings_is_named_only_where_one_was_found(folder, highest, named):
    """Two rings to 10.9 Å ask for 12070 Å of defocus at 300 kV, to 10 Å for 10159: m1 lies at 11950 Å."""
    write_mrc(folder / "mics/m1.mrc", micrograph(768, 1, 1.0, defocus_u=12000, defocus_v=11900, angle=20))
    assert run(folder, "--highest-resolution", highest) == 0
    warnings = [w for w in Result.read(folder / "result.json").warnings if "Thon rings" in w]
    assert len(warnings) == bool(named) and (not named or named in warnings[0])


def test_an_astigmatism_at_its_limit_is_named(folder):
    assert run(folder, "--maximum-astigmatism", "300") == 0
    warning = Result.read(folder / "result.json").warnings[-1]
    assert "The astigmatism of 2 micrographs (m1, m2) reaches the maximum (--maximum-astigmatism 300 Å)" in warning


def test_what_was_fitted_is_not_fitted_again_unless_the_file_has_changed(folder, capsys):
    assert run(folder) == 0
    before = {n: os.stat(folder / f"ctf/m{n}.json").st_mtime_ns for n in (1, 2)}
    write_mrc(folder / "mics/m2.mrc", micrograph(512, 5, 0.8, defocus_u=15000, defocus_v=15000, angle=0))
    assert run(folder) == 0 and "2 micrographs, 1 of them already fitted" in capsys.readouterr().out
    assert os.stat(folder / "ctf/m1.json").st_mtime_ns == before[1]
    assert json.loads((folder / "ctf/m2.json").read_text())["defocus_u"] == pytest.approx(15000, abs=300)
    assert run(folder, "--highest-resolution", "6") != 0
    assert "highest resolution 5.0 (now 6.0)" in capsys.readouterr().err


def test_the_fit_of_a_micrograph_that_broke_does_not_stay(folder):
    assert run(folder) == 0
    (folder / "mics/m2.mrc").write_bytes((folder / "mics/m2.mrc").read_bytes()[:5000])
    assert run(folder) == 0
    assert sorted(path.name for path in (folder / "ctf").iterdir()) == ["m1.json", "m1.mrc"]


def test_micrographs_without_rings_are_skipped_with_their_reasons(folder):
    noise = np.random.default_rng(3).standard_normal((512, 512)).astype(np.float32)
    smooth = np.fft.irfft2(
        np.fft.rfft2(noise) * np.exp(-4000 * np.fft.fftfreq(512)[:, None] ** 2 - 4000 * np.fft.rfftfreq(512) ** 2)
    ).astype(np.float32)
    for name, image in (
        ("noise", noise),
        ("constant", np.ones((512, 512), np.float32)),
        ("denoised", smooth),
        ("nan", np.where(noise > -0.5, np.nan, noise)),
        ("stack", np.stack([noise[:64, :64]] * 3)),
    ):
        write_mrc(folder / f"mics/{name}.mrc", image)
    assert run(folder) == 0
    skipped = {s.item: s.reason for s in Result.read(folder / "result.json").skipped}
    assert sorted(skipped) == ["constant", "denoised", "nan", "noise", "stack"]
    for name, part in (
        ("noise", "no significant Thon rings"),
        ("constant", "constant"),
        ("denoised", "denoised"),
        ("nan", "not numbers"),
        ("stack", "one image"),
    ):
        assert part in skipped[name]
    assert len(read_tables(folder / "ctf.star")["micrographs"]["rlnDefocusU"]) == 2


def test_fits_that_the_table_does_not_list_are_told_of(folder, capsys):
    names = sorted(path.name for path in (folder / "mics").iterdir())
    assert run(folder) == 0 and "also has fits" not in capsys.readouterr().out
    assert run(folder, micrographs=[f"mics/{names[0]}"]) == 0
    assert f"also has fits of {names[1][:-4]}" in capsys.readouterr().out


def test_micrographs_that_the_pictures_would_replace_are_left_as_they_are(folder, capsys):
    (folder / "mics").rename(folder / "ctf")
    before = {path: path.read_bytes() for path in (folder / "ctf").iterdir()}
    assert run(folder, micrographs=["ctf/*.mrc"]) == 2
    assert "would replace" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in (folder / "ctf").iterdir()} == before


@pytest.mark.parametrize("header, said", [(4.0, "says 4 Å/px, not 2"), (2.0, "it has 256 x 256 px, others 512 x 512")])
def test_a_binned_micrograph_among_others_gets_no_defocus(folder, header, said):
    image = micrograph(512, 3, 0.8, defocus_u=16000, defocus_v=15500, angle=60)
    write_mrc(folder / "mics/m3.mrc", image.reshape(256, 2, 256, 2).mean((1, 3)), header)
    assert run(folder) == 0
    (skipped,) = Result.read(folder / "result.json").skipped
    assert skipped.item == "m3" and said in skipped.reason
    assert len(read_tables(folder / "ctf.star")["micrographs"]["rlnDefocusU"]) == 2


def test_nothing_found_at_all_is_an_error(folder, capsys):
    write_mrc(folder / "mics/noise.mrc", np.random.default_rng(3).standard_normal((512, 512)).astype(np.float32))
    assert run(folder, micrographs=("mics/noise.mrc",)) != 0
    assert "Of 1 micrograph, none could be fitted" in capsys.readouterr().err and not (folder / "ctf.star").exists()


def test_a_pixel_size_that_the_header_contradicts_is_said(folder, capsys):
    import mrcfile

    with mrcfile.open(folder / "mics/m1.mrc", "r+") as mrc:
        mrc.voxel_size = 1.3
    run(folder)
    assert "says 1.3 Å/px; 2 Å/px" in capsys.readouterr().out
