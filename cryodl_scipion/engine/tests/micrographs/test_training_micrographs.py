# SPDX-License-Identifier: GPL-3.0-or-later
"""Artificial assemblies and the varied micrographs that a general picker learns from."""

import dataclasses

import numpy as np
import pytest
import torch

from cryodl.micrographs.normalize import prepare_micrograph
from cryodl.micrographs.pickers import picker_method
from cryodl.micrographs.pickers.general import cache_folder, chances_of, simulated_images, split_members
from cryodl.simulate.micrographs import particle_diameter
from cryodl.simulate.pool import _SHAPES, EXTENT_PX, KINDS, density_of_points, procedural_assemblies
from cryodl.simulate.training_micrographs import paint, random_scene, rotated_view


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_the_extent_that_is_asked_for(kind):
    rng = np.random.default_rng(7)
    density = density_of_points(*_SHAPES[kind](rng), 40, rng)
    assert float(density.min()) >= 0 and float(density.max()) == pytest.approx(1.0)
    assert particle_diameter(density, 1.0) == pytest.approx(40, rel=0.2)


def test_shells_are_hollow_more_often_than_not():
    hollow = 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        density = density_of_points(*_SHAPES["shell"](rng), 40, rng)
        middle = density.shape[0] // 2
        core = density[middle - 3 : middle + 3, middle - 3 : middle + 3, middle - 3 : middle + 3].mean()
        hollow += bool(core < 0.5 * density[density > 0.05].mean())
    assert hollow >= 6


def test_made_up_assemblies_are_diverse_and_repeatable():
    first, second = procedural_assemblies(24, 3), procedural_assemblies(24, 3)
    assert all(torch.equal(a.density, b.density) and a.extent == b.extent for a, b in zip(first, second))
    assert len({m.name.split("-")[0] for m in first}) >= 6
    extents = [m.extent for m in first]
    assert 60 <= min(extents) < 120 and 300 < max(extents) <= 500


def _scene(seed, **options):
    member = procedural_assemblies(5, 0)[seed % 5]
    return random_scene(member.density, EXTENT_PX, 200.0, [], 32.0, np.random.default_rng(seed), **options)


def test_a_scene_is_repeatable_and_finite():
    first, second = _scene(4), _scene(4)
    assert torch.equal(first.image, second.image) and np.array_equal(first.particles, second.particles)
    assert bool(torch.isfinite(first.image).all()) and len(first.particles)


def test_particles_are_dark_at_their_coordinates_and_not_at_mirrored_ones():
    """Mean over many scenes: the coordinates belong to the images."""
    here, mirrored = [], []
    for seed in range(20):
        scene = _scene(seed)
        if not len(scene.particles):
            continue
        image = prepare_micrograph(scene.image.numpy(), 1.0, 32.0).image
        smooth = torch.nn.functional.avg_pool2d(image[None, None], 9, 1, 4)[0, 0]
        yx = np.clip(np.rint(scene.particles).astype(int), 0, 511)
        here.append(float(smooth[yx[:, 0], yx[:, 1]].mean()))
        mirrored.append(float(smooth[511 - yx[:, 0], yx[:, 1]].mean()))
    assert np.mean(here) > 0.3 and abs(np.mean(mirrored)) < 0.5 * np.mean(here)


def test_the_pixel_size_follows_from_extent_and_stated_diameter():
    sizes = [_scene(seed).pixel_size for seed in range(8)]
    # 200 Å wide particles whose stated diameter, 0.25 to 4 times that, is 32 px
    assert all(200 * 0.25 / 32 <= s <= 200 * 4 / 32 for s in sizes)


def test_what_is_far_from_the_stated_size_is_no_particle():
    scenes = [_scene(seed, side=256) for seed in range(20)]
    far_off = [s for s in scenes if not 1 / 1.7 <= s.size <= 1 / 0.6]
    assert far_off and not any(len(s.particles) for s in far_off)
    near = [s for s in scenes if 1 / 1.7 <= s.size <= 1 / 0.6]
    assert sum(len(s.particles) > 0 for s in near) > 0.8 * len(near)
    assert all(s.size == pytest.approx(200 / (32 * s.pixel_size)) for s in scenes)


def test_faint_scenes_are_crowded_and_their_particles_hardly_stand_out():
    contrast, crowding = {}, {}
    for faint in (False, True):
        scenes = [s for s in (_scene(seed, side=192, faint=faint) for seed in range(12)) if len(s.particles)]
        darkness = []
        for scene in scenes:
            image = prepare_micrograph(scene.image.numpy(), 1.0, 32.0).image
            yx = np.clip(np.rint(scene.particles).astype(int), 0, 191)
            darkness.append(float(image[yx[:, 0], yx[:, 1]].mean()))
        contrast[faint] = np.median(darkness)
        # of the area, by circles of the particles' own extent
        crowding[faint] = np.median([len(s.particles) * np.pi * (16 * s.size) ** 2 / 192**2 for s in scenes])
    assert contrast[True] < 0.6 * contrast[False] and crowding[True] > 1.3 * crowding[False]


def test_a_share_of_the_images_is_faint_and_the_others_stay_the_same():
    method, members = picker_method("unet"), procedural_assemblies(4, 0)
    plain, mixed, faint = (
        [im.image for im in simulated_images([members], 4, method, 0, 1, faint=share)] for share in (0.0, 0.5, 1.0)
    )
    of_both = [(torch.equal(m, p), torch.equal(m, f)) for m, p, f in zip(mixed, plain, faint)]
    assert set(of_both) == {(True, False), (False, True)}


def test_what_a_model_was_judged_on_is_held_out_again():
    members = procedural_assemblies(10, 0)
    before = [members[2].name, members[7].name]
    learnt, held = split_members(members, 1, before)
    assert [m.name for m in held] == before and len(learnt) == 8
    assert len(split_members(members, 1, ["of another training"])[1]) == 1


def test_images_for_training_never_mix_training_and_validation():
    method, members = picker_method("unet"), procedural_assemblies(10, 0)
    learnt, held = split_members(members, 0)
    assert len(held) == 1 and not {m.name for m in learnt} & {m.name for m in held}
    images = list(simulated_images([learnt], 3, method, 0, 1))
    again = list(simulated_images([learnt], 3, method, 0, 1))
    other = list(simulated_images([learnt], 3, method, 0, 2))
    assert all(torch.equal(a.image, b.image) for a, b in zip(images, again))
    assert not any(torch.equal(a.image, b.image) for a, b in zip(images, other))
    assert all(im.dense and im.image.shape == im.valid.shape == im.allowed.shape for im in images)


def test_chances_share_between_simulated_and_real():
    method, members = picker_method("unet"), procedural_assemblies(3, 0)
    images = list(simulated_images([members], 5, method, 0, 1))
    chances = chances_of(images[:3], [images[3:4], images[4:]], 0.4)
    assert chances.sum() == pytest.approx(1) and chances[:3].sum() == pytest.approx(0.6)
    assert chances[3] == pytest.approx(0.2) and chances[4] == pytest.approx(0.2)


@pytest.mark.parametrize("rotation", range(8))
def test_turned_views_keep_their_middle(rotation):
    view = torch.zeros(9, 9)
    view[4, 4] = 1
    view[2, 3] = 0.5
    assert rotated_view(view, rotation)[4, 4] == 1 and float(rotated_view(view, rotation).sum()) == 1.5


def test_particles_are_painted_at_their_centres():
    """A projection's particle is at pixel b // 2; whatever its turn, it must land on the rounded centre."""
    views = torch.zeros(3, 12, 12)
    views[:, 6, 6] = 1
    centres = np.array([[20.0, 31.2], [50.4, 8.0], [63.0, 60.0], [2.0, 40.0]] * 4)
    image = paint(views, centres, (70, 64), np.random.default_rng(0))
    found = {tuple(map(int, yx)) for yx in image.nonzero()}
    assert found == {(20, 31), (50, 8), (63, 60), (2, 40)}


def test_kept_micrographs_are_not_those_of_another_structure_of_the_same_name(tmp_path):
    members = procedural_assemblies(3, 0)
    folder = cache_folder(str(tmp_path), members, 0, 1, 0.0)
    assert cache_folder(str(tmp_path), procedural_assemblies(3, 0), 0, 1, 0.0) == folder
    other = [dataclasses.replace(members[0], density=members[0].density.flip(0) ** 2), *members[1:]]
    assert cache_folder(str(tmp_path), other, 0, 1, 0.0) != folder
    assert cache_folder(str(tmp_path), members, 0, 1, 0.0) == folder
    (folder / "structures.json").unlink()
    assert cache_folder(str(tmp_path), other, 0, 1, 0.0) == folder, "folders of older versions do not tell"
