# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl denoise-tomograms`: halves in, tomograms nearer to the ground truth out; what cannot be halves is said."""

import json
import os
import re
import types
from pathlib import Path

import mrcfile
import numpy as np
import pytest
from synthetic import correlation, write_mrc

from cryodl.contract import DenoiseTomogramsConfig, Failure, Result
from cryodl.running.cli import main
from cryodl.tomograms.denoisers import halves as halves_module
from cryodl.tomograms.denoisers.halves import named_tomograms

PIXEL = 10.0
SHAPE = (24, 64, 48)


def low_pass(volume, highest):
    """What lies below a frequency in cycles per px."""
    radius = np.sqrt(sum(f**2 for f in np.meshgrid(*map(np.fft.fftfreq, volume.shape), indexing="ij")))
    return np.fft.ifftn(np.fft.fftn(volume) * (radius < highest)).real.astype(np.float32)


def ground_truth(seed=0, shape=SHAPE):
    """Smooth bodies: the highest tenth of a low-passed field."""
    field = low_pass(np.random.default_rng(seed).normal(size=shape), 0.08)
    return (field > np.quantile(field, 0.9)).astype(np.float32)


def halves(name="tomo1", noise=1.0, seed=0, shape=SHAPE, pixel_size=PIXEL, folder="."):
    """Two files with one signal and noise of their own. Returns the signal."""
    signal, rng = ground_truth(seed, shape), np.random.default_rng(seed + 100)
    for half in ("even", "odd"):
        values = signal + noise * rng.normal(size=shape)
        write_mrc(f"{folder}/{name}_{half}.mrc", values.astype(np.float32), pixel_size)
    return signal


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def denoise(code=0, output="out", **options):
    options = dict(dict(output=output, device="cpu", threads=1, result="result.json"), **options)
    words = ["denoise-tomograms"]
    for name, value in options.items():
        flag = "--" + name.replace("_", "-")
        words += [flag] if value is True else [flag, *map(str, value if isinstance(value, tuple) else (value,))]
    assert main(words) == code
    return Result.read("result.json") if code == 0 else Failure.read("failure.json").message


def mean_of(name="tomo1"):
    return (mrcfile.read(f"{name}_even.mrc") + mrcfile.read(f"{name}_odd.mrc")) / 2


@pytest.mark.parametrize("side, value", [(112, -30), (320, 0)])
def test_what_both_halves_are_filled_with_is_no_signal(side, value):
    halves(shape=(24, 64, 64))
    start = side // 4 - 4
    for half in ("even", "odd"):
        field = np.full((24, side, side), value, np.float32)
        field[:, start : start + 64, start : start + 64] = mrcfile.read(f"tomo1_{half}.mrc") + 7
        write_mrc(f"filled_{half}.mrc", field, PIXEL)
    means, widths = [], []
    for name in ("tomo1", "filled"):
        named = halves_module.Named(name, (f"{name}_even.mrc", f"{name}_odd.mrc"))
        scale, fsc, _ = halves_module.measured_halves(halves_module.open_source(named, None)[0])
        means.append(fsc.mean())
        widths.append(scale.width)
    assert means[1] == pytest.approx(means[0], abs=0.1)
    assert widths[1] > widths[0] / 2  # of what lies in both, and not in the filling alone


def test_a_denoised_tomogram_is_nearer_to_the_truth_than_the_mean_of_its_halves(capsys):
    signal = halves()
    result = denoise(even="tomo1_even.mrc", odd="tomo1_odd.mrc", steps=8, halves=True)
    with mrcfile.open(result.outputs.files["tomo1"]) as mrc:
        found = mrc.data.copy()
        assert mrc.voxel_size.x == pytest.approx(PIXEL) and "not for averaging" in str(mrc.header.label[1])
    assert found.shape == SHAPE
    assert correlation(found, signal) > correlation(mean_of(), signal) + 0.2
    both = [mrcfile.read(result.outputs[half]["tomo1"]) for half in ("even", "odd")]
    assert np.allclose(sum(both) / 2, found, atol=1e-5)
    controls = result.outputs.controls["tomo1"]
    assert controls["signal_correlation_after"] > controls["signal_correlation_before"] + 0.2
    assert controls["noise_left"] < 1 and len(controls["kept"]) == len(controls["frequencies"])
    assert "of pure noise it keeps" in capsys.readouterr().out


@pytest.mark.parametrize("strength, starts", [(0.6, (0, 64, 128)), (0.02, (32,))])
def test_no_rows_are_lost_beside_the_held_out_ones_unless_all_structure_is_there(strength, starts):
    shape, rng = (32, 160, 64), np.random.default_rng(4)
    signal = ground_truth(3, shape)
    signal[:, :32] *= strength
    signal[:, 64:] *= strength
    for half in ("even", "odd"):
        write_mrc(f"tomo1_{half}.mrc", (signal + rng.normal(size=shape)).astype(np.float32), PIXEL)
    named = halves_module.Named("tomo1", ("tomo1_even.mrc", "tomo1_odd.mrc"))
    assert halves_module.held_out_rows(halves_module.open_source(named, None)[0])[0] in starts


@pytest.mark.parametrize("rows", [16, 17, 20, 24, 64])
def test_small_tomograms_leave_rows_to_learn_from(rows, monkeypatch):
    """Of 16 rows all were held out, of 17 to 23 fewer than 8 were left, and of 64 half of the others was lost."""
    monkeypatch.setattr(halves_module, "_shared", lambda source, band: 1 + 0.1 * (band[0] > 0 and band[1] < rows))
    start, stop = halves_module.held_out_rows(types.SimpleNamespace(shape=(32, rows, 64)))
    assert 8 <= stop - start and max(start, rows - stop) >= 8 and (start == 0 or stop == rows)


def test_a_tomogram_of_few_rows_is_learnt_from():
    halves(noise=0.2, shape=(48, 17, 96))
    assert denoise(even="tomo1_even.mrc", odd="tomo1_odd.mrc", steps=2).outputs.files["tomo1"]


@pytest.mark.parametrize("first, last", [(0.0, 0.5), (0.5, 1.0)])
def test_rows_without_structure_are_not_what_a_denoiser_is_judged_by(first, last, capsys):
    shape = (32, 128, 64)
    signal, rng = ground_truth(3, shape), np.random.default_rng(4)
    signal[:, : int(first * 128)] = signal[:, int(last * 128) :] = 0
    for half in ("even", "odd"):
        write_mrc(f"tomo1_{half}.mrc", (signal + rng.normal(size=shape)).astype(np.float32), PIXEL)
    result = denoise(even="tomo1_even.mrc", odd="tomo1_odd.mrc", steps=4)
    start, stop = json.loads(Path("out/model/card.json").read_text())["training"]["held_out"][0]
    assert first * 128 - 16 <= start and stop <= last * 128 + 16
    found, controls = mrcfile.read(result.outputs.files["tomo1"]), result.outputs.controls["tomo1"]
    rows = slice(start, stop)
    for when, volume in (("before", mean_of()), ("after", found)):
        true = correlation(volume[:, rows], signal[:, rows])
        assert controls[f"signal_correlation_{when}"] == pytest.approx(true, abs=0.2)
    before, after = (f"{controls[f'signal_correlation_{when}']:.2f}" for when in ("before", "after"))
    told = f"it is lower elsewhere) the estimated correlation with the signal is {before}, and after"
    assert f"{told} denoising {after} ±" in capsys.readouterr().out


def test_halves_are_found_by_their_names_and_a_lonely_one_is_said():
    halves("tomo1"), halves("tomo2", seed=1)
    os.rename("tomo2_even.mrc", "tomo2_EVN.mrc"), os.rename("tomo2_odd.mrc", "tomo2_ODD.mrc")
    halves("tomo3", seed=2)
    os.remove("tomo3_odd.mrc")
    result = denoise(tomograms="*.mrc", steps=1)
    assert set(result.outputs.files) == {"tomo1", "tomo2"}
    (skipped,) = result.skipped
    assert skipped.item == "tomo3" and "even half of tomo3 by its name, and its odd half is not" in skipped.reason


@pytest.mark.parametrize(
    "files, expected",
    [
        # of a copick run, ctf_odd is not the other half of wbp_even
        ("TS_1/VoxelSpacing10.000/{ctf_odd,wbp_even}.zarr", ({}, {"TS_1__ctf", "TS_1__wbp"})),
        (
            "TS_1/VoxelSpacing10.000/{ctf,wbp}_{even,odd}.zarr",
            ({"TS_1__ctf": "ctf_even ctf_odd", "TS_1__wbp": "wbp_even wbp_odd"}, set()),
        ),
        (
            "TS_{1,2}/VoxelSpacing10.000/wbp_{even,odd}.zarr",
            ({"TS_1": "wbp_even wbp_odd", "TS_2": "wbp_even wbp_odd"}, set()),
        ),
        ("TS_1/VoxelSpacing10.000/{even,odd}.zarr", ({"TS_1": "even odd"}, set())),
        ("{a,b}/{even,odd}.mrc", ({"a": "even odd", "b": "even odd"}, set())),
        ("{rec,x}_{even,odd}.mrc", ({"rec": "rec_even rec_odd", "x": "x_even x_odd"}, set())),
        ("{a,b}/rec_{even,odd}.mrc", "Two tomograms are called rec: a/rec_even.mrc and b/rec_even.mrc"),
        ("rec_{even,EVN,odd}.mrc", "rec_even.mrc and rec_EVN.mrc are both the even half"),
    ],
)
def test_halves_of_one_folder_and_name_are_paired_and_none_is_dropped(files, expected):
    paths = [files]
    while any("{" in path for path in paths):
        parts = [re.match(r"([^{]*){([^}]*)}(.*)", path).groups() for path in paths]
        paths = [before + word + after for before, words, after in parts for word in words.split(",")]
    for path in paths:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).touch()
    config = DenoiseTomogramsConfig(output="out", tomograms=tuple(paths))
    if isinstance(expected, str):
        with pytest.raises(ValueError, match=re.escape(expected)):
            named_tomograms(config)
        return
    named, skipped, _ = named_tomograms(config)
    found = {one.name: " ".join(Path(path).stem for path in one.paths) for one in named}
    assert (found, {one.item for one in skipped}) == expected


def test_a_finished_tomogram_is_not_denoised_again_and_a_changed_one_is(capsys):
    halves()
    options = dict(even="tomo1_even.mrc", odd="tomo1_odd.mrc", steps=1)
    first = denoise(**options)
    before = Path("out/tomo1.mrc").stat().st_mtime_ns
    again = denoise(**options)
    assert Path("out/tomo1.mrc").stat().st_mtime_ns == before
    assert again.outputs.controls == first.outputs.controls
    assert "1 tomogram, 1 of them already denoised" in capsys.readouterr().out
    halves(noise=1.1)
    denoise(**options)
    assert "has changed since out/tomo1.mrc was made" in capsys.readouterr().out
    assert Path("out/tomo1.mrc").stat().st_mtime_ns != before
    halves("tomo2")
    Path("tomo1_even.mrc").write_bytes(Path("tomo1_even.mrc").read_bytes()[:2000])
    evens, odds = (tuple(f"tomo{number}_{half}.mrc" for number in (1, 2)) for half in ("even", "odd"))
    assert set(denoise(even=evens, odd=odds, steps=1).outputs.files) == {"tomo2"}
    assert not Path("out/tomo1.mrc").exists()  # it was of another


def test_a_folder_with_a_model_refuses_to_be_trained_otherwise():
    halves()
    options = dict(even="tomo1_even.mrc", odd="tomo1_odd.mrc")
    denoise(**options, steps=1)
    for change, words in (
        (dict(fill_wedge=True), "--fill-wedge False (now True)"),
        (dict(steps=2), "--steps 1 (now 2)"),
        (dict(network="unet3d_wide"), "--network unet3d (now unet3d_wide)"),
        (dict(seed=1), "--seed 0 (now 1)"),
    ):
        assert f"trained with other parameters: {words}" in denoise(code=2, **options, **change)
    assert denoise(**options).outputs.files


@pytest.mark.parametrize("way", ["absolute", "linked", "swapped", "moved"])
def test_a_control_is_never_of_rows_that_the_model_learned_from(way, monkeypatch):
    halves()
    model = denoise(even="tomo1_even.mrc", odd="tomo1_odd.mrc", steps=1).outputs.model
    even, odd = (os.path.abspath(f"tomo1_{half}.mrc") for half in ("even", "odd"))
    if way == "swapped":
        even, odd = odd, even
    elif way != "absolute":
        Path("other").mkdir()
        make = os.symlink if way == "linked" else os.rename
        names = ("a_even.mrc", "a_odd.mrc") if way == "linked" else ("tomo1_even.mrc", "tomo1_odd.mrc")
        for path, name in zip((even, odd), names):
            make(path, Path("other") / name)
        even, odd = (str(Path("other") / name) for name in names)
    seen, subvolumes_of = [], halves_module.subvolumes_of
    monkeypatch.setattr(
        halves_module, "subvolumes_of", lambda source, rows=None: seen.append(rows) or subvolumes_of(source, rows)
    )
    denoise(even=even, odd=odd, model=model, output="more")
    (rows,) = json.loads(Path("out/model/card.json").read_text())["training"]["held_out"]
    assert seen[-1] == rows


def test_a_model_serves_other_halves_and_a_tomogram_without_halves():
    halves()
    model = denoise(even="tomo1_even.mrc", odd="tomo1_odd.mrc", steps=4).outputs.model
    signal = halves("other", seed=5)
    write_mrc("whole.mrc", mean_of("other"), PIXEL)
    result = denoise(tomograms=("whole.mrc", "other_even.mrc", "other_odd.mrc"), model=model, output="more")
    assert set(result.outputs.files) == {"other", "whole"} and result.outputs.controls["whole"] == {}
    assert not any("contrast" in sentence for sentence in result.warnings)
    write_mrc("turned.mrc", -mean_of("other"), PIXEL)
    (said,) = denoise(tomograms="turned.mrc", model=model, output="turned").warnings
    assert "The contrast of turned.mrc seems to be opposite to that in the training of out" in said
    for name in ("other", "whole"):
        assert correlation(mrcfile.read(f"more/{name}.mrc"), signal) > correlation(mean_of("other"), signal) + 0.15
    assert json.loads(Path("more/denoise.json").read_text())["tomograms"]["whole"]["halves"] is False


def test_a_tomogram_without_halves_needs_a_model_and_is_told_so():
    write_mrc("whole.mrc", np.random.default_rng(0).normal(size=SHAPE).astype(np.float32), PIXEL)
    message = denoise(code=2, tomograms="whole.mrc")
    assert "whole.mrc has no halves" in message and "--even, --odd" in message and "--model" in message


def spoil(kind):
    """Halves of tomo2 that cannot be used."""
    halves("tomo2", seed=1)
    odd = mrcfile.read("tomo2_odd.mrc").copy()
    if kind == "shape":
        odd = odd[:, :-2]
    if kind == "nan":
        odd[3, 4, 5] = np.nan
    if kind == "copy":
        odd = mrcfile.read("tomo2_even.mrc").copy()
    if kind == "denoised":
        for half, seed in (("even", 7), ("odd", 8)):
            noise = 0.01 * np.random.default_rng(seed).normal(size=SHAPE)
            write_mrc(f"tomo2_{half}.mrc", (ground_truth(1) + noise).astype(np.float32), PIXEL)
        return
    if kind == "strange":
        odd = np.random.default_rng(3).normal(size=SHAPE).astype(np.float32)
    if kind == "image":
        write_mrc("tomo2_even.mrc", np.zeros((64, 48), np.float32), PIXEL)
        odd = np.zeros((64, 48), np.float32)
    if kind == "scaled":
        odd = 3 * odd
    if kind == "moved":
        odd = odd + 2
    if kind == "empty":
        odd = np.zeros(SHAPE, np.float32)
    write_mrc("tomo2_odd.mrc", odd, 12.5 if kind == "pixel" else PIXEL)


@pytest.mark.parametrize(
    "kind, words",
    [
        ("shape", "has 48 x 64 x 24 px and tomo2_odd.mrc has 48 x 62 x 24"),
        ("pixel", "tomo2_even.mrc and tomo2_odd.mrc state 10 and 12.5 Å/px"),
        ("nan", "not finite numbers"),
        ("copy", "They are copies, or were denoised before"),
        ("denoised", "They are copies, or were denoised before"),
        ("strange", "have nothing in common"),
        ("scaled", "were scaled separately"),
        ("moved", "have different grey values"),
        ("image", "It is an image, not a tomogram"),
        ("empty", "has the same value nearly everywhere"),
    ],
)
def test_bad_halves_are_said_and_the_others_are_denoised(kind, words):
    halves("tomo1")
    spoil(kind)
    result = denoise(even="*_even.mrc", odd="*_odd.mrc", steps=1)
    assert set(result.outputs.files) == {"tomo1"} and sorted(p.name for p in Path("out").glob("*.mrc")) == ["tomo1.mrc"]
    (skipped,) = result.skipped
    assert skipped.item == "tomo2" and words in skipped.reason


def test_with_names_halves_are_paired_in_their_order():
    for name in ("a", "b"):
        os.makedirs(f"{name}/even"), os.makedirs(f"{name}/odd")
        halves(name, seed=ord(name))
        os.rename(f"{name}_even.mrc", f"{name}/even/rec.mrc"), os.rename(f"{name}_odd.mrc", f"{name}/odd/rec.mrc")
    options = dict(even=("b/even/rec.mrc", "a/even/rec.mrc"), odd=("b/odd/rec.mrc", "a/odd/rec.mrc"))
    first = denoise(**options, names=("TS_2", "TS_1"), steps=1)
    assert not first.skipped and first.methods[0].startswith("2 tomograms were denoised")
    found = mrcfile.read("out/TS_1.mrc")
    assert correlation(found, ground_truth(ord("a"))) > 0.5 > 0.2 > correlation(found, ground_truth(ord("b")))


def test_one_file_twice_and_half_a_request_are_refused():
    halves()
    assert "is given as both even and odd half" in denoise(code=2, even="tomo1_even.mrc", odd="tomo1_even.mrc")
    assert "belong together" in denoise(code=2, even="tomo1_even.mrc")
    assert "Give either the halves" in denoise(code=2)
    halves("tomo2")
    assert "2 even halves (--even) and 1 odd" in denoise(code=2, even="*_even.mrc", odd="tomo1_odd.mrc")


def test_a_model_of_another_pixel_size_is_warned_of_and_refused():
    halves()
    model = denoise(even="tomo1_even.mrc", odd="tomo1_odd.mrc", steps=1).outputs.model
    options = dict(tomograms="tomo1_even.mrc", model=model, names="whole")
    os.rename("tomo1_even.mrc", "a.mrc")
    options["tomograms"] = "a.mrc"
    assert any("another size" in w for w in denoise(**options, output="b", pixel_size=13).warnings)
    assert "The difference is too large" in denoise(code=2, **options, output="c", pixel_size=25)


def test_a_folder_without_a_model_is_named_and_nothing_is_learnt_in_it():
    halves()
    os.mkdir("results")
    message = denoise(code=2, even="tomo1_even.mrc", odd="tomo1_odd.mrc", model="results")
    assert "results is not a model of cryodl: it has no card.json" in message and not os.listdir("results")


def test_a_network_learns_from_tomograms_of_one_pixel_size_and_says_before_which_it_will_not_serve(capsys):
    for name, pixel_size in (("fine", 4.0), ("near", 13.5), ("usual", 13.0), ("other", 10.0)):
        halves(name, seed=len(name), pixel_size=pixel_size)
    result = denoise(even="*_even.mrc", odd="*_odd.mrc", steps=1)
    said = capsys.readouterr().out
    assert said.index("Skipped: fine") < said.index("Training the denoiser")
    card = json.loads(Path("out/model/card.json").read_text())
    assert sorted(card["training"]["tomograms"]) == ["near", "usual"] and card["pixel_size"] == 13.25
    assert [one.item for one in result.skipped] == ["fine"] and set(result.outputs.files) == {"near", "usual", "other"}
    assert any("10 Å/px, so their features have another size" in sentence for sentence in result.warnings)


def test_a_tomogram_that_is_gone_is_left_out():
    halves()
    model = denoise(even="tomo1_even.mrc", odd="tomo1_odd.mrc", steps=1).outputs.model
    os.rename("tomo1_even.mrc", "a.mrc")
    result = denoise(tomograms=("a.mrc", "lost.mrc"), names=("TS_1", "TS_2"), model=model, output="b")
    (skipped,) = result.skipped
    assert "lost.mrc does not exist" in skipped.reason and result.methods[0].startswith("1 tomogram was denoised")


def test_a_folder_of_another_model_is_not_filled_up():
    halves()
    options = dict(even="tomo1_even.mrc", odd="tomo1_odd.mrc", steps=1)
    denoise(**options)
    model = denoise(**options, output="other", seed=3).outputs.model
    assert "other parameters: weights" in denoise(code=2, even="tomo1_even.mrc", odd="tomo1_odd.mrc", model=model)


def test_the_wedge_is_filled_and_what_was_measured_of_it_is_said():
    halves()
    options = dict(even="tomo1_even.mrc", odd="tomo1_odd.mrc")
    result = denoise(**options, fill_wedge=True, steps=8, tilt_min=-50, tilt_max=60)
    card = json.loads(Path("out/model/card.json").read_text())
    assert card["fills_wedge"] and card["tilts"] == [-50, 60] and result.outputs.fills_wedge
    assert {"wedge_correlation", "wedge_measured_correlation"} <= set(card["validation"])
    assert any("predicted by the network" in w for w in result.warnings)
    assert 0.5 < card["validation"]["wedge_error"] <= 1
    card["validation"]["wedge_error"] = 1.1
    Path("out/model/card.json").write_text(json.dumps(card))
    assert "it invents" in denoise(code=2, **options, output="invented", model="out/model")
    plain = denoise(**options, steps=1, output="plain").outputs.model
    assert "trained without the missing wedge" in denoise(
        code=2, **options, fill_wedge=True, model=plain, output="no", tilt_min=-50
    )
