# SPDX-License-Identifier: GPL-3.0-or-later
"""report: the page of a folder and of a project, what is malformed, what is escaped, alarms; a browser shows it."""

import html.parser
import json
import os
import shutil
import sqlite3
import subprocess
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from synthetic import write_mrc

from cryodl.contract import PickConfig, Request, Result, Skipped
from cryodl.core.fourier import resolution_at
from cryodl.io.coordinates import write_coordinates
from cryodl.recipes.report.forecast import forecasts_of
from cryodl.recipes.report.numbers import LATEST, alarms_of
from cryodl.recipes.report.page import views_picture
from cryodl.recipes.report.runs import runs_of_folder, runs_of_project
from cryodl.running.cli import main

EVIL = '<script>alert("x")</script>'
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


class Page(html.parser.HTMLParser):
    """Tags, texts and the sources of pictures; an end without a beginning is an error."""

    VOID = ("meta", "img", "br")

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.words, self.pictures = [], [], "", []
        self.feed(text)
        assert not self.open, self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        if tag == "img":
            self.pictures.append(dict(attributes)["src"])
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words += data


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Results of CTF, picking, 2-D classes and a map, with their files, in a folder."""
    monkeypatch.chdir(tmp_path)
    for name in ("mics", "picks", "ctf", "classes", "map"):
        os.makedirs(f"results/{name}")
    random, names = np.random.default_rng(0), [f"m{n}" for n in range(1, 5)]
    for name in names:
        write_mrc(f"results/mics/{name}.mrc", random.standard_normal((80, 120)).astype(np.float32))
        write_coordinates(f"results/picks/{name}.star", np.array([[40, 60], [20, 30]]), np.ones(2))
    write_pick(names)
    write_ctf(names)
    write_mrc("results/classes/classes.mrcs", random.standard_normal((3, 32, 32)).astype(np.float32))
    Result(
        "classify-2d",
        dict(
            particles="p.star",
            classes="c.star",
            stack="results/classes/classes.mrcs",
            counts=[30, 20, 0],
            scores=[0.9, 0.2, 0.0],
            resolutions=[10.0, 12.0, None],
            count=50,
            converged=True,
            pixel_size=4.0,
            box=32,
        ),
    ).write("results/classes/result.json")
    write_map(noise=None)
    return tmp_path


def write_pick(names, path="results/picks", counts=2):
    paths = tuple(f"results/mics/{name}.mrc" for name in names)
    given = dict(micrographs=paths, pixel_size=4.0, model="general", output="picks")
    Request("pick", PickConfig(**given), names=tuple(names)).write(f"{path}/request.json")
    stars = {name: f"results/picks/{name}.star" for name in names}
    Result(
        "pick",
        dict(
            folder="picks",
            pixel_size=4.0,
            coordinates=stars,
            candidates=stars,
            counts=dict.fromkeys(names, counts) if isinstance(counts, int) else counts,
            picks=8,
            threshold=0.5,
            threshold_uncertainty=None,
            thresholds={},
            particle_diameter=60.0,
            contrast="dark",
            expected_particles={},
            expected=None,
            model="general",
            pictures={},
        ),
        device="CPU",
        warnings=(f"a model {EVIL}",),
        versions=dict(cryodl="1.2.3"),
    ).write(f"{path}/result.json")


def write_ctf(names, path="results/ctf", resolution=5.0, skipped=()):
    metrics = dict(defocus_u=15000.0, defocus_v=14000.0, resolution=resolution, defocus_angle=1.0, phase_shift=0.0)
    Result(
        "estimate-ctf",
        dict(star="ctf.star", folder="ctf", spectra={}, fits={name: metrics for name in names}),
        skipped=tuple(Skipped(name, name + ".mrc", "no significant Thon rings") for name in skipped),
    ).write(f"{path}/result.json")


def write_map(noise, resolution=12.5):
    curve = np.clip(1.2 - np.arange(17) / 10, 0, 1).tolist()
    made = dict(
        map="m.mrc", half1="1.mrc", half2="2.mrc", resolution=resolution, fsc=curve, count=50, pixel_size=4.0, box=32
    )
    made.update(dict.fromkeys(("missing_cone", "tilted_cones", "views", "by_direction")))
    Result("reconstruct", dict(made, noise_fsc=noise and curve, noise_resolution=noise)).write(
        "results/map/result.json"
    )


ORIENTED = dict(particles="p.star", mean_score=1.0, mean_probability=None, directions=1, symmetry="C1", resolution=20.0)
FIRST = dict.fromkeys(("map", "half1", "half2", "particles", "limit", "agreement", "coverage", "by_direction"))
FIRST.update(determined=True, reasons=[], fsc=[], judgement="j.json", resolution=17.5, pixel_size=4.0, box=32)


def words_with_views(command, views, **more):
    """Of the page, with the result of a command on views besides."""
    os.makedirs(f"results/{command}", exist_ok=True)
    tilted = dict(missing_cone=44.3, tilted_cones=[33.4, 23.7, 10.4], views=views, count=50, contrast="dark")
    Result(command, dict(tilted, **more)).write(f"results/{command}/result.json")
    return report("--folder", "results")[1].words


def report(*more):
    status = main(["report", "--output", "report.html", "--result", "said.json", *more])
    with open("report.html", encoding="utf-8") as file:
        text = file.read()
    return status, Page(text), Result.read("said.json").outputs, text


def test_the_page_of_a_folder_shows_numbers_pictures_and_versions(folder):
    status, page, said, text = report("--folder", "results")
    assert status == 0 and said.runs == 4 and not said.working
    for words in ("8picks", "4picked micrographs", "12.5 Å", "no run is active", "1.2.3", "FSC"):
        assert words in page.words, words
    assert (
        len(page.pictures) == 4 + 4
    )  # classes, FSC, forecast, CTF and four micrographs; one result of each kind is no growth
    assert all(source.startswith("data:image/png;base64,") for source in page.pictures)
    assert 'src="http' not in text and "<link" not in text and "script" not in page.tags


def test_the_page_of_a_folder_has_what_its_results_say_of_themselves(folder):
    path = "results/map/result.json"
    told = json.loads(Path(path).read_text())
    Path(path).write_text(json.dumps(dict(told, summary=["Map of 50 particles."], methods=["Maps were made by us."])))
    _, page, said, _ = report("--folder", "results")
    assert "Map of 50 particles." in page.words and "Maps were made by us." in page.words and not said.malformed
    Path(path).write_text(json.dumps(dict(told, methods=[["no sentence"]])))
    assert "its methods are not those of a result" in report("--folder", "results")[2].malformed[0]


def test_numbers_over_time_are_drawn_once_there_are_two_results(folder):
    os.makedirs("results/earlier")
    write_pick(["m1"], "results/earlier")
    os.utime("results/earlier/result.json", (1e9, 1e9))
    _, page, _, _ = report("--folder", "results")
    assert len(page.pictures) == 5 + 4 and "picked micrographs per hour" in page.words


def test_micrographs_of_two_data_sets_with_the_same_names_are_said_to_be_counted_once(folder):
    for name in ("ctf2", "again", "other"):
        os.makedirs(f"results/{name}")
    write_pick(["m1", "m2"], "results/again")  # the same files
    assert "one name stands for" not in report("--folder", "results")[1].words
    write_pick(["m2", "m3"], "results/other")
    request = Path("results/other/request.json")
    request.write_text(request.read_text().replace("results/mics/", "second/mics/"))
    words = report("--folder", "results")[1].words
    assert "pick, auto-pick: for 2 micrographs one name stands for several files, or for results in several" in words
    assert "results/mics/m2.mrc and" in words and "second/mics/m2.mrc" in words and words.count("one name") == 1
    write_ctf(["m4"], "results/ctf2")  # of two commands without a request: it may be another m4, or the same
    assert "estimate-ctf: for 1 micrograph one name" in report("--folder", "results")[1].words


def test_a_small_batch_does_not_tell_what_is_missing():
    views, tilted = [[0.0, 20.0, 1.5], [90.0, 60.0, 0.5]], [30.0, 20.0, 10.0]
    told = [dict(views=views, count=300, missing_cone=44.3, tilted_cones=tilted)]
    told += [dict(views=views, count=9, missing_cone=None, tilted_cones=None)]
    batches = [
        SimpleNamespace(result=SimpleNamespace(command="assign-orientations", outputs=one), time=number)
        for number, one in enumerate(told)
    ]
    words = [views_picture([SimpleNamespace(results=part)])[0].words for part in (batches, batches[1:])]
    assert words[0].startswith("missing cone 44.3°") and words[1] == "too few particles to tell missing directions"


def test_views_and_resolution_by_direction_are_drawn(folder):
    views = [[0.0, 20.0, 1.5], [90.0, 60.0, 0.5], [-120.0, 150.0, 1.0]]
    said = words_with_views("assign-orientations", views, **ORIENTED)
    assert "missing cone 44.3°; a specimen tilted by 20, 30 and 40° would leave 33°, 24°, 10°" in said
    axes = [[0.0, 20.0, 31.0], [90.0, 60.0, None]]
    assert "17.5 Å" in words_with_views("initial-map", views, **dict(FIRST, by_direction=axes))
    assert "not determinedinitial map" in words_with_views("initial-map", views, **dict(FIRST, reasons=["junk"]))
    assert "The part Views cannot be shown" in words_with_views("initial-map", [[0.0, 20.0]], **FIRST)


def test_a_run_that_found_all_done_names_no_device(folder):
    """As `cryodl pick` for a second time."""
    for path in Path("results").glob("*/result.json"):
        path.write_text(json.dumps(dict(json.loads(path.read_text()), device="none")))
    words = report("--folder", "results")[1].words
    assert "last result" in words and "computed on" not in words


def test_texts_from_outside_are_escaped(folder):
    _, page, _, text = report("--folder", "results")
    assert EVIL not in text and EVIL in page.words


def test_what_is_malformed_is_named_and_ends_nothing(folder):
    for name, words in (("a", "{"), ("b", "[]"), ("c", '{"contract_version": 9}'), ("d", ""), ("e", "\xff\xfe\0")):
        os.makedirs(f"results/{name}")
        with open(f"results/{name}/result.json", "w", encoding="latin1") as file:
            file.write(words)
    strange = dict(contract_version=2, command="of-tomorrow", outputs=[1], skipped=[], warnings=[7], versions=3)
    os.makedirs("results/g")
    with open("results/g/result.json", "w") as file:
        json.dump(strange, file)
    os.makedirs("results/f")
    with open("results/f/failure.json", "w") as file:
        json.dump(dict(command="pick", kind="input", message="The disk is full."), file)
    os.remove("results/mics/m4.mrc")
    with open("results/classes/classes.mrcs", "wb") as file:
        file.write(b"nothing")
    old = dict(contract_version=1, command="reconstruct", outputs=dict(fsc=[1.0, 0.5]), skipped=[], warnings=[])
    with open("results/map/result.json", "w") as file:  # of a version before 0.1.0
        json.dump(old, file)
    status, page, said, _ = report("--folder", "results")
    assert status == 0 and len(said.malformed) == 7
    for sentence in (
        "m4 cannot be shown",
        "The 2-D classes cannot be shown",
        "The disk is full",
        "a/result.json is not",
        "map/result.json is not a readable result",
    ):
        assert sentence in page.words, sentence


def test_alarms_are_for_what_needs_attention(folder):
    assert not report("--folder", "results")[2].alarms
    write_map(noise=12.0)
    write_ctf(["m1"], skipped=("m2", "m3"))
    alarms = " ".join(report("--folder", "results")[2].alarms)
    assert "is reference bias" in alarms and "2 of 3 items were left out" in alarms
    write_map(noise=12.0, resolution=None)  # nothing is beyond noise
    assert "is reference bias" in " ".join(report("--folder", "results")[2].alarms)


def test_a_drift_is_an_alarm(folder):
    names = [f"x{n}" for n in range(2 * LATEST)]
    write_pick(names, counts={name: 100 if n < LATEST else 20 for n, name in enumerate(names)})
    (alarm,) = [a for a in alarms_of(runs_of_folder("results")) if "picks" in a]
    assert "20 micrographs have 20 picks (median), earlier ones 100" in alarm


def write_run(folder, label, values, inputs=()):
    """What Scipion keeps of a run in project/. folder: such as 000003_ProtPick. inputs: numbers of runs."""
    number = int(folder.split("_")[0])
    os.makedirs(f"project/Runs/{folder}/logs", exist_ok=True)
    rows = [(number, None, "", "ProtPick", None, label)]
    rows += [(0, number, f"{number}.{name}", "String", value, "") for name, value in values.items()]
    rows += [(0, number, f"{number}.input{n}", "Pointer", str(value), "") for n, value in enumerate(inputs)]
    with sqlite3.connect(f"project/Runs/{folder}/logs/run.db") as db:
        db.execute("DROP TABLE IF EXISTS Objects")
        db.execute("CREATE TABLE Objects (id INT, parent_id INT, name TEXT, classname TEXT, value TEXT, label TEXT)")
        db.executemany("INSERT INTO Objects VALUES (?, ?, ?, ?, ?, ?)", rows)


def test_a_project_gives_its_runs_with_label_and_status(folder):
    os.makedirs("project")
    open("project/project.sqlite", "w").close()
    for number, status in ((2, "finished"), (77, "running")):
        write_run(f"{number:06d}_ProtPick", f"my <b>picks</b> {number}", dict(status=status))
        os.makedirs(f"project/Runs/{number:06d}_ProtPick/extra")
    shutil.copytree("results", "project/results")  # paths in results are relative to the project
    write_pick(["m1"], "project/Runs/000077_ProtPick/extra")
    shutil.rmtree("results")
    told = dict(label="picking", summary=["8 of a/*.mrc", "Warning: a model"], methods=["They were picked."])
    with open("words.json", "w") as file:
        json.dump({"000077_ProtPick": told}, file)
    status, page, said, text = report("--project", "project", "--words", "words.json")
    assert status == 0 and said.runs == 2 and said.working
    assert "my <b>picks</b> 2" in page.words and "They were picked." in page.words and "8 of a/*.mrc" in page.words
    assert 'http-equiv="refresh"' in text and "runs are active" in page.words
    assert "picking: a model" in page.words and EVIL not in page.words  # warnings in Scipion's words
    assert sum("m1" in word for word in page.words.split()) and len(page.pictures) == 1  # the micrograph


def test_a_failed_step_of_another_plugin_is_told_with_its_reason(folder):
    said = {"status": "failed", "_error": "\x1b[31mProtocol failed: All movies failed\x1b[0m"}
    write_run("000003_ProtMotioncor", "motion correction", said)
    alarms = alarms_of(runs_of_project("project", {}))
    assert alarms == ["motion correction: the run failed: Protocol failed: All movies failed"]


@pytest.mark.parametrize(
    "second, works", [("failed", False), ("aborted", False), ("finished", True), ("running", True)]
)
def test_scheduled_runs_work_unless_they_are_behind_one_that_stopped(folder, second, works):
    write_run("000002_ProtImport", "import", dict(status="finished"))
    write_run("000005_ProtOrient", "orient", dict(status=second, _error="no map"), [2])
    write_run("000007_ProtRefine", "refine", dict(status="scheduled"), [9])  # of a run with a later number
    write_run("000009_ProtBackProject", "map", dict(status="scheduled"), [2, 5])
    runs = runs_of_project("project", {})
    assert [run.works for run in runs] == [False, second == "running", works, works]
    said = [alarm for alarm in alarms_of(runs) if "not determined" in alarm]
    how = dict(failed="failed", aborted="was stopped").get(second)
    assert said == ([] if works else [f"refine, map: not determined, because orient {how}: no map"])
    why = f"Particles: the run 'orient' has no output outputParticles, though it has {second}. no map"
    write_run("000009_ProtBackProject", "map", dict(status="failed", _error=why), [2, 5])  # as ours do, by and by
    if not works:
        assert [alarm for alarm in alarms_of(runs_of_project("project", {}))] == said
    write_run("000011_ProtPick", "pick", dict(status="scheduled"), [2])  # nothing stopped that it needs
    assert runs_of_project("project", {})[-1].works


def test_another_file_is_never_replaced_and_a_report_is(folder):
    with open("report.html", "w") as file:
        file.write("<p>mine</p>")
    assert main(["report", "--folder", "results", "--output", "report.html"]) == 2
    os.remove("report.html")
    assert report("--folder", "results")[0] == report("--folder", "results")[0] == 0
    os.makedirs("empty")
    assert main(["report", "--folder", "empty", "--output", "other.html"]) == 2
    assert main(["report", "--project", "results", "--output", "other.html"]) == 2
    assert main(["report", "--output", "other.html"]) == 2


@pytest.mark.skipif(not CHROMIUM, reason="chromium is not installed")
def test_a_browser_shows_the_page(folder):
    report("--folder", "results")
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", f"file://{folder}/report.html"]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=120).stdout
    assert shown.count("<img") == 8 and "Latest micrographs with their picks" in shown


# ----- forecasts
def map_of(count, bfactor, noise=0.02, box=64, pixel=2.0):
    """A finished map whose FSC is that of a signal falling with a B-factor (Å²), F / (1 - F) in proportion to count."""
    shells = np.arange(box // 2 + 1)
    ratio = count * 0.02 * np.exp(-bfactor / 2 * (shells / (box * pixel)) ** 2)
    curve = ratio / (1 + ratio) + noise * np.random.default_rng(count).standard_normal(len(shells)) / (1 + shells / 8)
    curve[0] = 1
    outputs = dict(count=count, box=box, pixel_size=pixel, fsc=curve.tolist(), missing_cone=0.0)
    return SimpleNamespace(
        config=None, result=SimpleNamespace(outputs=dict(outputs, resolution=resolution_at(curve, 0.143, pixel, box)))
    )


@pytest.mark.parametrize("bfactor", [200, 600])
def test_more_particles_come_to_what_was_forecast(bfactor):
    (early, _, late) = forecasts_of([map_of(count, bfactor) for count in (300, 600, 3000)])
    assert [count for count, _, _ in early.came] == [600, 3000] and all(held for _, _, held in early.came)
    low, middle, high = early.at(3000)
    assert low < middle < high < early.resolution and middle == pytest.approx(late.resolution, rel=0.15)
    assert (np.diff(early.edges[:, 1]) < 0).all() and early.at(300) == pytest.approx([early.resolution] * 3)


def test_of_coefficients_that_a_symmetry_makes_equal_one_is_independent():
    plain, one, both = (map_of(300, 200, noise=0.05) for _ in range(3))
    one.config, both.config = SimpleNamespace(symmetry="C1"), SimpleNamespace(symmetry="O")
    widths = [np.ptp(found.edges[1]) for each in (plain, one, both) for found in forecasts_of([each])]
    assert widths[0] == widths[1] < 0.8 * widths[2]


def test_nothing_finer_than_two_pixels_is_forecast():
    (fine,) = forecasts_of([map_of(20000, 30)])
    assert fine.edges[2, 0] == pytest.approx(4.0) and (fine.edges >= 4.0 - 1e-9).all()


def test_maps_without_a_resolution_or_of_other_pixels_are_no_forecast():
    other, nothing = map_of(300, 200, pixel=3.0), map_of(900, 200)
    nothing.result.outputs["resolution"] = None
    assert [one.particles for one in forecasts_of([other, nothing, map_of(600, 200)])] == [600]
    assert forecasts_of([nothing]) == []


def test_the_page_shows_the_forecast(folder):
    _, page, said, _ = report("--folder", "results")
    assert "2 times the particles: " in page.words and "10 times the particles: " in page.words and not said.alarms
