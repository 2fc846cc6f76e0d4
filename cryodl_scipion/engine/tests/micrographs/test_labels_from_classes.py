# SPDX-License-Identifier: GPL-3.0-or-later
"""Labels of a picker from particles that 2-D classification kept and rejected."""

import dataclasses
import json
import shlex

import numpy as np
import pytest
from synthetic import write_mrc

from cryodl.contract import AllSkipped, LabelsFromClassesConfig, TrainPickerConfig, check
from cryodl.io.coordinates import write_coordinates
from cryodl.io.particle_positions import read_particle_positions
from cryodl.io.star import write_tables
from cryodl.micrographs.byhand.store import HandPicks, read_corrections
from cryodl.micrographs.commands.labels_from_classes import labels_from_classes as run
from cryodl.micrographs.pickers.labels import match_labels, with_corrections

# yx px of a micrograph of 200 x 300 px, 2 Å/px; particles of 40 Å: reach 5 px
PICKS = np.array([[50.0, 60.0], [120.0, 200.0], [30.0, 200.0], [150.0, 30.0], [180.0, 280.0]])


def particles(path, where, columns=(), optics=True, **more):
    """STAR file of particles. where: [(micrograph, y, x)]."""
    table = dict(
        rlnImageName=[f"{number:06d}@stack.mrcs" for number in range(1, len(where) + 1)],
        rlnMicrographName=[f"MotionCorr/job002/{name}.mrc" for name, *_ in where],
        rlnCoordinateX=[x for *_, x in where],
        rlnCoordinateY=[y for _, y, _ in where],
        **more,
    )
    tables = dict(particles=table)
    if optics:
        table["rlnOpticsGroup"] = [1] * len(where)
        tables = dict(optics=dict(rlnOpticsGroup=[1], rlnImagePixelSize=[4.0], rlnImageSize=[32]), particles=table)
    write_tables(path, tables)
    return str(path)


def listed(*numbers, names="a", shift=0.0, scale=1.0):
    return [(name, *((PICKS[number] + shift) * scale)) for name in names for number in numbers]


@pytest.fixture
def project(tmp_path):
    (tmp_path / "picks").mkdir()
    for number, name in enumerate("abc"):
        image = np.random.default_rng(number).normal(0, 1, (200, 300)).astype(np.float32)
        write_mrc(tmp_path / f"{name}.mrc", image, 2.0)
        write_coordinates(tmp_path / f"picks/{name}.star", PICKS, [0.9, 0.4, 0.6, 0.3, 0.2])
    return tmp_path


def config_of(folder, kept, classified=None, picks=True, **values):
    micrographs = tuple(str(folder / f"{name}.mrc") for name in "abc")
    coordinates = str(folder / "picks") if picks else None
    return LabelsFromClassesConfig(
        kept, micrographs, 2.0, 40.0, str(folder / "labels"), classified, coordinates, **values
    )


def rows(picks, certain=None):
    return sorted((p.y, p.x) for p in picks if certain is None or p.certain == certain)


def at(*numbers):
    return sorted(map(tuple, PICKS[list(numbers)].tolist()))


def test_kept_particles_are_certain_rejected_ones_removed_and_other_picks_unconfirmed(project):
    kept = particles(project / "kept.star", listed(0, 1, names="ab"))
    every = particles(project / "all.star", listed(0, 1, 2, names="ab"))
    result = run(config_of(project, kept, every))
    picks, removed = HandPicks(str(project / "labels"), ["a"]).read("a")
    assert rows(picks, True) == at(0, 1) and rows(removed) == at(2) and rows(picks, False) == at(3, 4)
    assert {p.score for p in picks if p.certain} == {0.9, 0.4}, "the scores of the picks stay"
    assert result.outputs.certain == {"a": 2, "b": 2} and result.outputs.removed == {"a": 1, "b": 1}
    assert result.outputs.unconfirmed == {"a": 2, "b": 2} and not result.outputs.merged
    assert len(result.warnings) == 1 and "Only 4 kept particles of" in result.warnings[0]
    assert not (project / "labels/c.star").exists(), "no particle of it was classified"
    assert json.loads((project / "labels/from_classes.json").read_text())["parameters"]["kept"] == kept


def test_a_file_of_the_rejected_ones_alone_gives_the_same_labels(project):
    kept = particles(project / "kept.star", listed(0, 1))
    run(config_of(project, kept, particles(project / "bad.star", listed(2))))
    found = read_corrections(project / "labels", "a")
    assert sorted(map(tuple, found.certain["a"].tolist())) == at(0, 1)
    assert sorted(map(tuple, found.removed["a"].tolist())) == at(2)


def test_shifts_of_the_alignment_move_the_labels(project):
    """RELION: the particle lies at its coordinates minus the origin; new files in Å, old ones in px of the images."""
    shifted = dict(rlnOriginXAngst=[8.0], rlnOriginYAngst=[-4.0])
    kept = particles(project / "kept.star", listed(0), **shifted)
    run(config_of(project, kept))
    picks, _ = HandPicks(str(project / "labels"), ["a"]).read("a")
    assert rows(picks, True) == [(52.0, 56.0)] and rows(picks, False) == at(1, 2, 3, 4)
    old = dict(rlnOriginX=[2.0], rlnOriginY=[-1.0], rlnMagnification=[10000], rlnDetectorPixelSize=[4.0])
    (found,) = read_particle_positions(particles(project / "old.star", listed(0), optics=False, **old)).values()
    assert found.origins.tolist() == [[-4.0, 8.0]]
    mixed = dict(rlnOriginX=[2.0], rlnOriginY=[-1.0])  # px beside an optics table of 4 Å/px
    (found,) = read_particle_positions(particles(project / "mixed.star", listed(0), **mixed)).values()
    assert found.origins.tolist() == [[-4.0, 8.0]]


def test_shifts_in_pixels_need_no_images_but_a_pixel_size(project):
    shifts = dict(rlnOriginX=[2.0], rlnOriginY=[-1.0])

    def origins(**columns):
        table = dict(rlnMicrographName=["a.mrc"], rlnCoordinateX=[60], rlnCoordinateY=[50], **{**shifts, **columns})
        write_tables(project / "old.star", dict(particles=table))
        (found,) = read_particle_positions(project / "old.star").values()
        return found.origins.tolist()

    assert origins(rlnDetectorPixelSize=[5.0], rlnMagnification=[10000]) == [[-5.0, 10.0]]
    assert origins(rlnImagePixelSize=[4.0]) == [[-4.0, 8.0]]
    assert origins(rlnOriginX=[0], rlnOriginY=[0]) == [[0, 0]]
    with pytest.raises(ValueError, match="old.star has no pixel size.*or add the column"):
        origins()


def test_particles_that_the_alignment_brings_together_count_once(project, capsys):
    """A rejected one at a kept one's position is no background, and two kept ones are one particle."""
    where = [("a", 50, 60), ("a", 50, 72), ("a", 120, 200)]
    kept = particles(project / "kept.star", where, rlnOriginXAngst=[0, 20, 0], rlnOriginYAngst=[0, 0, 0])
    every = particles(project / "all.star", [*where, ("a", 121, 203), ("a", 90, 90)])
    result = run(config_of(project, kept, every))
    picks, removed = HandPicks(str(project / "labels"), ["a"]).read("a")
    assert rows(picks, True) == [(50, 60), (120, 200)] and rows(removed) == [(90, 90)]
    assert result.outputs.merged == 1 and "Left out: 1, " in capsys.readouterr().out


def test_a_particle_that_was_moved_out_of_the_micrograph_is_left_out(project):
    shifts = dict(rlnOriginXAngst=[0, 0], rlnOriginYAngst=[0, 9])
    kept = particles(project / "kept.star", [("a", 50, 60), ("a", 2, 30)], **shifts)
    assert run(config_of(project, kept, picks=False)).outputs.certain == {"a": 1}


def test_particles_of_another_binning_are_an_error_that_tells_the_scale(project):
    kept = particles(project / "kept.star", listed(0, 1, 2, scale=0.5))
    with pytest.raises(ValueError, match=r"0 % are within 10 Å of a pick.*scale of 2 \(--scale\), 100 % are"):
        run(config_of(project, kept))
    run(config_of(project, kept, scale=2.0))
    assert rows(HandPicks(str(project / "labels"), ["a"]).read("a")[0], True) == at(0, 1, 2)
    large = particles(project / "large.star", listed(0, 1, scale=2))
    with pytest.raises(ValueError, match=r"lie outside .*a.mrc \(300 x 200 px\).*--scale"):
        run(LabelsFromClassesConfig(large, (str(project / "a.mrc"),), 2.0, 40.0, "other"))


def test_mirrored_coordinates_are_an_error_that_says_so(project):
    mirrored = [("a", 199 - y, x) for y, x in PICKS]
    with pytest.raises(ValueError, match="other edge.*csparc2star.py --inverty"):
        run(config_of(project, particles(project / "kept.star", mirrored)))


def test_particles_that_are_no_picks_are_an_error_and_a_few_are_a_warning(project):
    strange = [("a", 77, 111), ("a", 99, 150), ("a", 10, 10)]
    with pytest.raises(ValueError, match="Of 3 kept particles.*0 % .*Give the picks that were extracted"):
        run(config_of(project, particles(project / "kept.star", strange)))
    result = run(config_of(project, particles(project / "kept.star", strange + listed(0))))
    assert any("25 % are within" in note for note in result.warnings)


def test_names_are_matched_without_cryosparcs_number(project):
    kept = [(f"012345678901234567890_{name}", y, x) for name, y, x in listed(0, 1)]
    assert run(config_of(project, particles(project / "kept.star", kept))).outputs.certain == {"a": 2}


def test_what_cannot_be_used_is_said(project):
    other = particles(project / "other.star", listed(0, names="xy"))
    with pytest.raises(ValueError, match="No particle of .*other.star.* of x, y; the micrographs are a, b, c"):
        run(config_of(project, other))
    write_tables(project / "bare.star", dict(particles=dict(rlnImageName=["1@s.mrcs"], rlnClassNumber=[1])))
    with pytest.raises(ValueError, match="bare.star has particles without positions.*rlnCoordinateX.*Found: rlnImage"):
        run(config_of(project, str(project / "bare.star")))
    optics = {name: [1] for name in ("rlnOpticsGroup", "rlnOpticsGroupName", "rlnImagePixelSize", "rlnVoltage")}
    table = dict(rlnCoordinateX=[1], rlnCoordinateY=[2], rlnClassNumber=[1])
    write_tables(project / "bare.star", dict(optics=optics, particles=table))
    with pytest.raises(ValueError, match="column rlnMicrographName is missing. Found: rlnCoordinateX, rlnCoordinateY"):
        run(config_of(project, str(project / "bare.star")))
    with pytest.raises(ValueError, match="none.star has no particles"):
        run(config_of(project, particles(project / "none.star", [])))
    kept = particles(project / "kept.star", listed(0, names="ax"))
    notes = " ".join(run(config_of(project, kept)).warnings)
    assert "1 particle of" in notes and "not given" in notes and "No particle counts as rejected" in notes
    with pytest.raises(ValueError, match="labels .--output. exists"):
        run(config_of(project, kept))


def test_kept_particles_of_a_low_score_are_unconfirmed(project):
    """Good classes of faint particles contain noise."""
    kept = particles(project / "kept.star", listed(0, 1, 2))
    with pytest.raises(ValueError, match="No kept particle has a score of at least 0.95"):
        run(config_of(project, kept, minimum_score=0.95))
    result = run(config_of(project, kept, minimum_score=0.5))
    picks, removed = HandPicks(str(project / "labels"), ["a"]).read("a")
    assert rows(picks, True) == at(0, 2) and rows(picks, False) == at(1, 3, 4) and not removed
    assert result.outputs.unconfirmed == {"a": 3}
    assert "have the scores" in check(config_of(project, kept, picks=False, minimum_score=0.5))[0]


def test_all_particles_kept_is_said(project):
    kept = particles(project / "kept.star", listed(0, 1))
    assert "All particles of" in run(config_of(project, kept, kept)).warnings[0]


def test_labels_from_classes_are_not_taken_for_complete_ones(project):
    """Every pick was classified, but nobody looked for the particles that were not picked."""
    kept = particles(project / "kept.star", listed(0, 1, 2, names="abc"))
    every = particles(project / "all.star", listed(0, 1, 2, 3, 4, names="abc"))
    run(config_of(project, kept, every))
    micrographs = tuple(str(project / f"{name}.mrc") for name in "abc")
    given = TrainPickerConfig(micrographs, str(project / "labels"), 2.0, 40.0, str(project / "model"))
    config, said = with_corrections(given)
    assert config.labels == "boxes" and "9 confirmed picks are used" in said[0] and "6 removed" in said[0]
    items = match_labels(config)
    assert [len(item.positives) for item in items] == [3] * 3 and [len(item.negatives) for item in items] == [2] * 3


def test_rejected_particles_outside_are_an_error_where_kept_ones_lie_inside(project):
    kept = particles(project / "kept.star", listed(0, 1))
    every = particles(project / "all.star", [*listed(0, 1), ("a", 800, 900), ("a", 810, 900)])
    with pytest.raises(ValueError, match=r"2 particles of 4 of .*all.star \(--classified\) lie outside.*x 900, y 810"):
        run(config_of(project, kept, every))


def test_a_particle_slightly_outside_is_counted_and_the_others_are_used(project):
    kept = particles(project / "kept.star", [*listed(0, 1), ("a", 50, -1.5)])
    result = run(config_of(project, kept))
    assert result.outputs.certain == {"a": 2}
    assert any("1 particle of 3" in note and "x -1.5, y 50" in note for note in result.warnings)


def test_an_unreadable_micrograph_is_skipped_by_name(project):
    (project / "b.mrc").write_bytes(b"")
    kept = particles(project / "kept.star", listed(0, 1, names="ab"))
    result = run(config_of(project, kept))
    assert result.outputs.certain == {"a": 2} and [one.item for one in result.skipped] == ["b"]
    only = particles(project / "only.star", listed(0, names="b"))
    with pytest.raises(AllSkipped, match="b.mrc is empty"):
        run(LabelsFromClassesConfig(only, (str(project / "b.mrc"),), 2.0, 40.0, str(project / "other")))


def test_a_minimum_score_of_picks_without_scores_is_an_error(project):
    for name in "abc":
        write_coordinates(project / f"picks/{name}.star", PICKS, [0.0] * 5)
    kept = particles(project / "kept.star", listed(0, 1))
    with pytest.raises(ValueError, match=r"--minimum-score is 0.5.* have no scores on 1 micrograph: a. Leave"):
        run(config_of(project, kept, minimum_score=0.5))


def test_a_minimum_score_and_particles_on_no_pick_are_said(project):
    kept = particles(project / "kept.star", [*listed(0, 1), ("a", 77, 111)])
    (note, *_) = run(config_of(project, kept, minimum_score=0.5)).warnings
    assert note.startswith("1 kept particle of") and "--minimum-score does not apply" in note


def test_without_picks_particles_of_binned_micrographs_are_an_error_and_others_a_note(project):
    yx = np.random.default_rng(0).uniform((0, 0), (199, 299), (60, 2))
    places = lambda factor: [("a", *one) for one in yx * factor]
    spread = config_of(project, particles(project / "k.star", places(1)), picks=False)
    assert "it was not checked" in run(spread).warnings[0]
    half = particles(project / "h.star", places(0.5))
    with pytest.raises(ValueError, match=r"All particles of .*h.star .* in one corner .*--scale 2"):
        run(dataclasses.replace(spread, kept=half, output=str(project / "other")))


def test_the_command_to_train_can_be_pasted(project, capsys):
    kept = particles(project / "kept.star", listed(0, 1))
    config = config_of(project, kept)
    run(dataclasses.replace(config, output=str(project / "my labels")), names=("a", "b", "c"))
    said, command = capsys.readouterr().out.split("Train on them:")
    assert "Left out" not in said
    words = shlex.split(command)
    assert words[words.index("--coordinates") + 1] == str(project / "my labels")
    assert words[words.index("--names") + 1 : words.index("--coordinates")] == ["a", "b", "c"]
