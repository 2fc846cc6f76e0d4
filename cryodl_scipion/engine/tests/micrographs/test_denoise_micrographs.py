# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl denoise-micrographs`: what it writes, what it skips, what it does not do twice, and that it denoises."""

import dataclasses
import json

import mrcfile
import numpy as np
import pytest
from synthetic import blob_micrograph, correlation, write_mrc, write_untrained_model

from cryodl.contract import DenoiseMicrographsConfig, Failure, Result, check_model
from cryodl.micrographs.denoise.agreement import micrograph_sources
from cryodl.running.cli import main

SHAPE = (256, 320)


def write_micrographs(folder, count, contrast=0.8, shape=SHAPE, spacing=45):
    """<folder>/mics/mic<n>.mrc and its even and odd halves beside; {name: clean image}."""
    for part in ("mics", "even", "odd"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    clean = {}
    for index in range(count):
        empty, full = (blob_micrograph(shape, 20 * index, spacing, contrast=c)[0] for c in (0, contrast))
        clean[f"mic{index}"] = signal = full - empty
        noises = [np.random.default_rng((index, k)).standard_normal(shape) for k in (0, 1)]
        halves = [100 + 5 * (signal + 2**0.5 * noise) for noise in noises]
        for part, image in zip(("even", "odd", "mics"), halves + [sum(halves) / 2]):
            write_mrc(folder / part / f"mic{index}.mrc", image.astype(np.float32))
    return clean


def denoise(folder, *more, micrographs=None, steps=2, pixel_size=4):
    """Exit code of the command. more: further arguments."""
    return main(
        [
            "denoise-micrographs",
            "--micrographs",
            *(micrographs or [str(folder / "mics/*.mrc")]),
            "--pixel-size",
            str(pixel_size),
            "--output",
            str(folder / "out"),
            *"--device cpu --threads 1".split(),
            "--steps",
            str(steps),
            "--result",
            str(folder / "result.json"),
            *map(str, more),
        ]
    )


def halves(folder):
    return ["--even", folder / "even/*.mrc", "--odd", folder / "odd/*.mrc"]


def test_the_output_fits_the_input_and_is_not_made_twice(tmp_path):
    write_micrographs(tmp_path, 2)
    assert denoise(tmp_path) == 0
    result = Result.read(tmp_path / "result.json")
    assert result.outputs["counts"] == {"mic0": 1, "mic1": 1} and result.outputs["method"] == "added-noise"
    assert result.outputs["pixel_size"] == 4 and result.outputs["resolution"] == 8 and not result.skipped
    assert "trained on 2 micrographs, from the micrographs only" in result.methods[0]
    assert "picked and extracted in the original micrographs" in result.methods[0]
    for name, path in result.outputs["files"].items():
        with mrcfile.open(path) as mrc, mrcfile.open(tmp_path / "mics" / f"{name}.mrc") as raw:
            assert mrc.data.shape == raw.data.shape and mrc.data.dtype == np.float32
            assert float(mrc.voxel_size.x) == 4 and abs(mrc.data.mean() - raw.data.mean()) < 1
            assert "for viewing; not for picking or extraction" in " ".join(mrc.get_labels())
    card = check_model(result.outputs["model"], "micrograph_denoiser")
    assert card["training"]["micrographs"] == ["mic0", "mic1"] and card["training"]["steps"] == 2

    (tmp_path / "out/mic1.mrc").unlink()
    before = (tmp_path / "out/mic0.mrc").stat().st_mtime_ns, card["weights_sha256"]
    assert denoise(tmp_path) == 0
    after = (tmp_path / "out/mic0.mrc").stat().st_mtime_ns, check_model(tmp_path / "out/model")["weights_sha256"]
    assert before == after and (tmp_path / "out/mic1.mrc").exists()
    assert len(Result.read(tmp_path / "result.json").outputs["files"]) == 2

    made = (tmp_path / "out/mic0.mrc").read_bytes()
    older = made.replace(b"; not for picking or extraction", b" and picking;not for extraction")
    (tmp_path / "out/mic0.mrc").write_bytes(older)
    assert older != made and denoise(tmp_path) == 0  # an older version's file is the command's, too


def test_changed_micrographs_are_denoised_anew_and_the_models_age_is_said(tmp_path):
    """mic0 is another image now, mic1 is broken: what was made of the old ones goes."""
    write_micrographs(tmp_path, 2)
    assert denoise(tmp_path) == 0
    before = (tmp_path / "out/mic0.mrc").read_bytes()
    write_mrc(tmp_path / "mics/mic0.mrc", np.random.default_rng(7).normal(size=SHAPE).astype(np.float32))
    (tmp_path / "mics/mic1.mrc").write_bytes((tmp_path / "mics/mic1.mrc").read_bytes()[:5000])
    assert denoise(tmp_path) == 0
    assert (tmp_path / "out/mic0.mrc").read_bytes() != before and not (tmp_path / "out/mic1.mrc").exists()
    said = " ".join(Result.read(tmp_path / "result.json").warnings)
    assert "2 micrographs changed after the model" in said and "another --output" in said


def test_bad_micrographs_are_left_out_and_counted(tmp_path, capsys):
    write_micrographs(tmp_path, 2)
    write_mrc(tmp_path / "mics/empty.mrc", np.zeros(SHAPE, np.float32))
    (tmp_path / "mics/short.mrc").write_bytes((tmp_path / "mics/mic0.mrc").read_bytes()[:5000])
    (tmp_path / "mics/gone.mrc").symlink_to(tmp_path / "moved.mrc")
    assert denoise(tmp_path) == 0
    result = Result.read(tmp_path / "result.json")
    assert sorted(s.item for s in result.skipped) == ["empty", "gone", "short"]
    assert set(result.outputs["files"]) == {"mic0", "mic1"}
    assert "3 micrographs were skipped" in " ".join(result.warnings)
    assert check_model(result.outputs["model"])["training"]["micrographs"] == ["mic0", "mic1"]

    assert denoise(tmp_path, "--model", tmp_path / "out/model", micrographs=[str(tmp_path / "mics/empty.mrc")]) == 2
    failure = Failure.read(tmp_path / "failure.json")
    assert failure.kind == "all skipped" and "constant" in failure.message


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--even", "mics/mic0.mrc"], "belong together"),
        (["--method", "even-odd"], "learns from averages of even and odd frames"),
        (["--even", "mics/mic0.mrc", "--odd", "mics/mic1.mrc"], "2 micrographs (--micrographs), 1 averages of even"),
        (["--resolution", "40"], "64 x 51 px at this resolution"),
        (["--model", "picker"], "a micrograph denoiser is needed"),
    ],
)
def test_what_does_not_fit_is_said(tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    write_micrographs(tmp_path, 2)
    write_untrained_model(tmp_path / "picker")
    assert denoise(tmp_path, *arguments) == 2 and words in Failure.read(tmp_path / "failure.json").message
    assert not list((tmp_path / "out").glob("*.mrc"))


def test_a_folder_of_another_run_is_refused(tmp_path):
    write_micrographs(tmp_path, 2)
    assert denoise(tmp_path) == 0
    for arguments, pixel_size, words in (
        (halves(tmp_path), 4, "another kind of input"),
        ([], 3, "another pixel size"),
        (["--resolution", "12"], 4, "resolution of 8 Å, and --resolution is 12"),
        (["--training-micrographs", "1"], 4, "another training (--method, --steps, --training-micrographs)"),
    ):
        assert denoise(tmp_path, *arguments, pixel_size=pixel_size) == 2
        assert words in Failure.read(tmp_path / "failure.json").message
    record = json.loads((tmp_path / "out/denoise.json").read_text())
    del record["training"]  # as 0.1.0 wrote it
    (tmp_path / "out/denoise.json").write_text(json.dumps(record))
    assert denoise(tmp_path, "--training-micrographs", "1") == 0


def test_micrographs_of_another_binning_are_left_out_as_their_headers_would_lie(tmp_path):
    write_micrographs(tmp_path, 3)
    with mrcfile.open(tmp_path / "mics/mic2.mrc", permissive=True) as mrc:
        binned = mrc.data.reshape(mrc.data.shape[0] // 2, 2, mrc.data.shape[1] // 2, 2).mean((1, 3))
    write_mrc(tmp_path / "mics/mic2.mrc", binned, 8.0)
    assert denoise(tmp_path) == 0
    result = Result.read(tmp_path / "result.json")
    assert sorted(result.outputs["files"]) == ["mic0", "mic1"] and not (tmp_path / "out/mic2.mrc").exists()
    (skipped,) = result.skipped
    assert skipped.item == "mic2" and "its header says 8 Å/px, not 4" in skipped.reason


def test_micrographs_in_the_output_folder_are_neither_replaced_nor_removed(tmp_path, capsys):
    write_micrographs(tmp_path / "out", 2)
    for path in (tmp_path / "out/mics").iterdir():
        path.rename(tmp_path / "out" / path.name)
    (tmp_path / "out/mic1.mrc").write_bytes((tmp_path / "out/mic1.mrc").read_bytes()[:2000])  # skipped, it was removed
    assert denoise(tmp_path, micrographs=[str(tmp_path / "out/*.mrc")]) == 2
    assert "would replace" in capsys.readouterr().err
    assert sorted(path.name for path in (tmp_path / "out").glob("*.mrc")) == ["mic0.mrc", "mic1.mrc"]


def test_halves_of_another_size_are_no_halves(tmp_path):
    write_micrographs(tmp_path, 2)
    write_mrc(tmp_path / "odd/mic1.mrc", np.random.default_rng(0).standard_normal((200, 320)).astype(np.float32))
    assert denoise(tmp_path, *halves(tmp_path)) == 0
    (skipped,) = Result.read(tmp_path / "result.json").skipped
    assert skipped.item == "mic1" and "320 x 256 px and 320 x 200 px" in skipped.reason


def test_averages_belong_to_the_micrographs_of_their_names_however_files_are_sorted(tmp_path, monkeypatch):
    """Sorted, a_10_EVN.mrc comes before a_1_EVN.mrc, and a_1.mrc before a_10.mrc."""
    monkeypatch.chdir(tmp_path)
    for name in ("a_1", "a_2", "a_10"):
        for file in (name, f"{name}_EVN", f"{name}_ODD"):
            (tmp_path / f"{file}.mrc").touch()
    halves = dict(even=("*_EVN.mrc",), odd=("a_10_ODD.mrc", "a_2_ODD.mrc", "a_1_ODD.mrc"))
    config = DenoiseMicrographsConfig(("a_1.mrc", "a_10.mrc", "a_2.mrc"), 1.0, "out", **halves)
    for source in micrograph_sources(config, ()):
        assert source.paths == (f"{source.name}_EVN.mrc", f"{source.name}_ODD.mrc")
    in_order = micrograph_sources(config, ("x", "y", "z"))  # names that were given say nothing of files
    assert [source.paths[1] for source in in_order] == list(halves["odd"])
    with pytest.raises(ValueError, match="a_2 of the micrographs, a_3_ODD of the averages"):
        (tmp_path / "a_2_ODD.mrc").rename("a_3_ODD.mrc")
        micrograph_sources(dataclasses.replace(config, odd=("*_ODD.mrc",)), ())


@pytest.mark.slow
@pytest.mark.parametrize("method", ["even-odd", "added-noise"])
def test_what_comes_out_is_nearer_to_the_truth_than_any_linear_filter(tmp_path, method):
    """The best filter is told the ground truth's spectrum; the network learnt from noise alone."""
    clean = write_micrographs(tmp_path, 4, contrast=0.7, shape=(400, 420), spacing=85)  # with quiet positions between
    assert denoise(tmp_path, *(halves(tmp_path) if method == "even-odd" else []), steps=60) == 0
    card = json.loads((tmp_path / "out/model/card.json").read_text())
    assert card["method"] == method and card["validation"]["correlation"] > card["validation"]["wiener_correlation"]
    for name, ground_truth in clean.items():
        raw, denoised = (mrcfile.read(tmp_path / part / f"{name}.mrc") for part in ("mics", "out"))
        assert correlation(denoised, ground_truth) > max(
            oracle(raw, ground_truth), 1.5 * correlation(raw, ground_truth)
        )
        assert denoised[ground_truth < 0.5 * ground_truth.min()].mean() < denoised.mean()  # protein stays dark


def oracle(raw, ground_truth):
    """Correlation with the ground truth of the best radial filter of the raw image, which only the truth tells."""
    spectra = [np.fft.rfft2(image - image.mean()) for image in (raw, ground_truth)]
    ring = np.rint(64 * np.hypot(np.fft.fftfreq(raw.shape[0])[:, None], np.fft.rfftfreq(raw.shape[1]))).astype(int)
    sums = [
        np.bincount(ring.ravel(), values.ravel())
        for values in ((spectra[0] * spectra[1].conj()).real, abs(spectra[0]) ** 2)
    ]
    return correlation(np.fft.irfft2(spectra[0] * (sums[0] / sums[1])[ring], s=raw.shape), ground_truth)
