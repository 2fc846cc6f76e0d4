# SPDX-License-Identifier: GPL-3.0-or-later
"""The parts of the 2-D classification: samples on rings, comparison, averages in parts, splitting."""

import dataclasses
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from classes2d_data import rotated, shape

from cryodl.contract.class_choice import particle_cut
from cryodl.core.optics import Optics, OpticsTable, ctf_of_optics, optics_values
from cryodl.io import messages
from cryodl.particles.classes2d import classify as run
from cryodl.particles.classes2d.averages import FOLDS, ClassBank, rotated_averages, wiener_averages
from cryodl.particles.classes2d.classify import FIRST_CLASSES, Classification
from cryodl.particles.classes2d.matching import Detail, References, halves, match
from cryodl.particles.classes2d.polar import PolarGrid, polar_ctf, polar_ring_power, rotated_yx
from cryodl.particles.classes2d.results import MadeNoise, signal_probabilities

GRID = PolarGrid(32, 12, 48, 14.0)
DETAIL = Detail(rings=12, orders=20, angles=24, reach=2.0, step=1.0, candidates=2)
OPTICS = Optics(15000.0, 14000.0, 30.0, 300.0, 2.7, 0.1)


def coefficients(*images):
    return GRID.harmonics(GRID.sample(torch.stack(images)))


def image_of(samples):
    """(n, 32, 32) images within the mask that (n, rings, half) samples are of, with mean 0."""
    weighted = samples * (GRID.weights / GRID.half / GRID.box**2)[:, None]
    result = torch.zeros(len(samples), GRID.box**2)
    result[:, GRID._positions] = torch.cat([weighted.real.flatten(1), weighted.imag.flatten(1)], 1) @ GRID._sampling.T
    return result.reshape(-1, GRID.box, GRID.box)


def test_the_samples_are_those_of_the_discrete_fourier_transform():
    image = shape(0)
    masked = torch.fft.fft2(torch.fft.ifftshift(image * GRID.mask))
    found = GRID.sample(image[None])[0]
    assert found[2, 0] == pytest.approx(complex(masked[0, 3]), abs=1e-2)  # ring 3 along x
    assert found[4, 24] == pytest.approx(complex(masked[5, 0]), abs=1e-2)  # ring 5 along y


def test_turning_an_image_turns_the_phases_of_its_angular_coefficients():
    plain, moved = coefficients(shape(0), rotated(shape(0), 0.7, (0, 0)))
    predicted = plain * GRID.rotation(torch.tensor([0.7]))[0]
    assert (predicted - moved).abs().mean() < 0.03 * moved.abs().mean()


def test_the_image_comes_back_from_its_samples():
    image = shape(0) * GRID.mask
    back = image_of(GRID.samples_of(coefficients(image)))[0]
    inside = GRID.mask > 0.99
    assert torch.corrcoef(torch.stack([image[inside], back[inside]]))[0, 1] > 0.98
    assert float(back[inside].std() / image[inside].std()) == pytest.approx(1, abs=0.05)  # as bright as it was


def test_rings_weigh_as_many_coefficients_as_the_discrete_transform_has_there():
    frequencies = torch.fft.fftfreq(GRID.box) * GRID.box
    radius = torch.hypot(frequencies[:, None], frequencies[None]).round()
    counted = torch.stack([(radius == ring).sum() for ring in range(1, GRID.rings + 1)])
    assert float(GRID.weights.sum() / counted.sum()) == pytest.approx(1, abs=0.02)
    assert torch.allclose(GRID.weights, counted.float(), rtol=0.25)


def test_the_orders_of_a_ring_share_the_power_of_masked_white_noise():
    noise = torch.randn(2000, 32, 32, generator=torch.Generator().manual_seed(0))
    power = GRID.harmonics(GRID.sample(noise)).abs().square().mean(0)
    share = power / (2 * power.sum(1) - power[:, 0])[:, None]
    assert torch.allclose(GRID.noise_share, share, atol=0.01)
    assert float(GRID.noise_share[2, 20]) < 1e-6 < 0.005 < float(GRID.noise_share[10, 20])


def test_an_average_is_filtered_by_the_signal_of_its_orders_and_rings():
    rng, bank = torch.Generator().manual_seed(0), ClassBank(GRID, 2, torch.device("cpu"))
    noise = torch.randn(40, 32, 32, generator=rng)
    scale = GRID.sample(noise).abs().square().mean((0, 2)).sqrt()[:, None]
    blurred = [GRID.samples_of(coefficients(shape(kind)) * (torch.arange(12) < 6)[:, None])[0] for kind in (0, 1)]
    members = GRID.harmonics((GRID.sample(noise) + 3 * torch.stack(blurred * 20)) / scale)
    for n, member in enumerate(members):
        bank.add(n // 2 % FOLDS, torch.tensor([n % 2]), member[None], torch.ones(1, 12))
    truth = GRID.harmonics(torch.stack(blurred) / scale)
    found, plain = bank.averages(), bank.sums.sum(0)

    def likeness(averages):
        product = (averages.conj() * truth * GRID.weights[:, None]).real.sum((1, 2))
        size = [(x.abs().square() * GRID.weights[:, None]).sum((1, 2)).sqrt() for x in (averages, truth)]
        return product / size[0] / size[1]

    assert (1 - likeness(found) < 0.6 * (1 - likeness(plain))).all()
    assert polar_ring_power(found)[:, 9:].sum() < 0.15 * polar_ring_power(plain / 20)[:, 9:].sum()


def test_ring_power_is_the_mean_square_of_the_samples():
    samples = GRID.sample(shape(1)[None])
    assert torch.allclose(polar_ring_power(GRID.harmonics(samples)), samples.abs().square().mean(-1), rtol=0.05)


@pytest.mark.parametrize(
    "state, expected", [("none", lambda c: c), ("flipped", torch.abs), ("multiplied", torch.square)]
)
@pytest.mark.parametrize("more", [{}, dict(b_factor=80.0, scale=0.7)])
def test_the_ctf_at_the_samples_is_that_of_the_grid(state, expected, more):
    optics = dataclasses.replace(OPTICS, **more)
    whole = ctf_of_optics([optics], 32, 4.0)[0]
    found = polar_ctf(GRID, [optics], 128.0, state, torch.device("cpu"))[0]
    assert float(found[2, 0]) == pytest.approx(float(expected(whole[0, 3])), abs=1e-3)
    assert float(found[4, 24]) == pytest.approx(float(expected(whole[5, 0])), abs=1e-3)


@pytest.mark.parametrize("state", ["none", "flipped", "multiplied"])
def test_made_up_noise_has_the_power_that_the_squared_ctf_gives_it_in_records(state):
    """The records of multiplied images are those of the raw ones."""
    table = OpticsTable(optics_values([dataclasses.replace(OPTICS, defocus_u=d, defocus_v=d) for d in (4e3, 1e4, 2e4)]))
    particles = SimpleNamespace(optics=table, ctf_state=state, box=32, pixel_size=4.0)
    settings = SimpleNamespace(scale=SimpleNamespace(grid=GRID), particles=particles)
    made = MadeNoise(settings, np.repeat(np.arange(3), 200), np.random.default_rng(0))
    ratio = made._samples.abs().square().reshape(3, 200, 12, -1).mean((1, 3)) / made._squared[::200]
    assert torch.allclose(ratio, torch.ones(3, 12), atol=0.15)


def test_a_particle_is_found_in_its_class_with_its_rotation_and_shift():
    averages = coefficients(shape(0), shape(1))
    particle = GRID.sample(rotated(shape(1), 2.0, (1.0, -1.5))[None])
    found = match(particle, torch.ones(1, 12), torch.zeros(1, 2), References(GRID, averages, DETAIL))
    assert found.labels.tolist() == [1]
    assert math.cos(float(found.phi) - 2.0) > math.cos(math.radians(3))
    assert torch.allclose(found.shifts_yx, torch.tensor([[1.0, -1.5]]), atol=0.5)


def test_the_score_of_an_image_with_itself_is_its_power_in_all_coefficients_of_the_plane():
    average = coefficients(shape(1))
    found = match(GRID.samples_of(average), torch.ones(1, 12), torch.zeros(1, 2), References(GRID, average, DETAIL))
    frequencies = torch.fft.fftfreq(GRID.box) * GRID.box
    radius = torch.hypot(frequencies[:, None], frequencies[None]).round()
    power = torch.fft.fft2(shape(1) * GRID.mask).abs().square()[(radius > 0) & (radius <= 12)].sum()
    assert float(found.scores[0]) == pytest.approx(float(power) ** 0.5, rel=0.1)


@pytest.mark.filterwarnings("error")
def test_comparing_writes_into_the_buffers_of_the_references():
    """torch warns where what it is given to write into has another shape, and takes memory anew."""
    references = References(GRID, coefficients(shape(0), shape(1)), DETAIL)
    given = GRID.samples_of(coefficients(shape(0), shape(1))), torch.ones(2, 12), torch.zeros(2, 2)
    first, again = match(*given, references), match(*given, references)
    assert first.labels.tolist() == again.labels.tolist() == [0, 1] and torch.equal(first.scores, again.scores)


def test_brightness_does_not_change_the_class():
    averages = coefficients(shape(0), 5 * shape(1))
    particles = GRID.sample(torch.stack([shape(0), 0.2 * shape(0)]))
    found = match(particles, torch.ones(2, 12), torch.zeros(2, 2), References(GRID, averages, DETAIL))
    assert found.labels.tolist() == [0, 0]


def test_a_shift_turned_by_a_quarter_from_x_towards_y():
    assert torch.allclose(
        rotated_yx(torch.tensor([[0.0, 2.0]]), torch.tensor([math.pi / 2])), torch.tensor([[2.0, 0.0]]), atol=1e-6
    )


def test_the_average_for_a_part_holds_none_of_its_particles():
    bank, members = ClassBank(GRID, 1, torch.device("cpu")), coefficients(shape(0), shape(1))
    for fold, member in zip((0, 1), members):
        bank.add(fold, torch.tensor([0]), member[None], torch.ones(1, 12))
    without = bank.averages(without=1)[0]
    product = without * members[0].conj()  # each coefficient is that of the first one, made smaller: phases are its own
    assert float(product.imag.abs().max()) < 1e-5 * float(product.abs().max()) and product.real.min() > -1e-6
    assert float(product.real.sum() / (without.abs().norm() * members[0].abs().norm())) > 0.9
    assert bank.counts.shape == (FOLDS, 1)


class Shapes:
    """Records of 40 images of two shapes, rotated at random, in noise."""

    grid, images = GRID, np.arange(40)

    def __init__(self):
        rng = torch.Generator().manual_seed(0)
        images = [rotated(shape(n % 2), float(torch.rand(1, generator=rng)) * 6.28, (0, 0)) for n in range(40)]
        noise = 0.3 * torch.randn(40, 32, 32, generator=rng)
        power = polar_ring_power(GRID.harmonics(GRID.sample(noise))).mean()
        self.samples = GRID.sample(torch.stack(images) + noise) / power**0.5

    def __len__(self):
        return 40

    def read(self, positions, device):
        return self.samples[positions], torch.ones(len(positions), GRID.rings)


def test_classes_begun_from_single_particles_part_two_shapes():
    work = Classification(Shapes(), 2, 2.0, 0, torch.device("cpu"))
    positions = work.subset(0)
    work.rng = np.random.default_rng(3)
    work.seed_first(positions, 8)
    assert work.bank.counts.sum(0).tolist() == [1.0] * 8
    assert float(work.bank.signal_to_noise()[:4, 0].min()) > 0.1
    work.epoch(positions, DETAIL)
    groups = [set(np.nonzero(work.state.labels == label)[0] % 2) for label in range(8)]
    assert sum(len(group) > 1 for group in groups) <= 1  # hardly a class has both
    assert work.bank.first is None  # from now on the classes' own parts say it


@pytest.mark.parametrize("wanted", [2, 64, 65, 300])
def test_levels_begin_with_few_classes_and_end_with_all_particles_in_those_wanted(wanted):
    work = Classification(Shapes(), wanted, 2.0, 0, torch.device("cpu"))
    levels = work.levels()
    assert len(levels) >= 2 and levels[0] <= FIRST_CLASSES and levels[-1] == wanted
    assert all(after <= 2 * before for before, after in zip(levels, levels[1:]))
    assert max(levels) == wanted  # no more than have ten particles each
    assert work.subset(len(levels) - 1).tolist() == list(range(40))


@pytest.mark.parametrize(
    "wanted, first", [(19, 19), (20, 80), (40, 160), (64, 256), (71, 212), (100, 200), (140, 210), (300, 256)]
)
def test_many_classes_begin_as_more_pairs_of_mirror_images(wanted, first):
    many = type("Many", (Shapes,), {"__len__": lambda self: 4000})()
    work = Classification(many, wanted, 2.0, 0, torch.device("cpu"))
    assert work.levels()[0] == first and work.mirrored == (wanted >= 20 and wanted != 140)


def test_mirrored_classes_share_their_images_and_then_part():
    image = shape(0)
    mirror = torch.roll(image.flip(0), 1, 0)  # about row 16, as images are turned
    bank = ClassBank(GRID, 4, torch.device("cpu"))
    bank.add(0, torch.tensor([0, 3]), coefficients(image, shape(1)), torch.ones(2, GRID.rings))
    bank.mirrored, bank.first = True, torch.ones(GRID.rings, GRID.orders)
    same = lambda found, wanted: torch.corrcoef(torch.stack([found.flatten(), wanted.flatten()]))[0, 1] > 0.97
    shown = lambda: image_of(GRID.samples_of(bank.averages())) * GRID.mask
    before = shown()
    for number, wanted in ((0, image), (2, mirror), (3, shape(1))):
        assert same(before[number], image_of(GRID.sample(wanted[None])))
    bank.part_mirrors()
    assert torch.allclose(shown(), before, atol=1e-4)
    bank.add(1, torch.tensor([0]), coefficients(shape(1)), torch.ones(1, GRID.rings))
    after = shown()
    assert not same(after[0], before[0]) and torch.allclose(after[2], before[2], atol=1e-4)


def test_copies_of_an_image_are_in_one_part():
    """An image compared with averages that a copy of it is in would resemble them."""
    copied = type("Copied", (Shapes,), {"images": np.tile(np.arange(20), 2)})()
    folds = Classification(copied, 2, 2.0, 0, torch.device("cpu")).folds
    assert folds[:20].tolist() == folds[20:].tolist() == np.repeat(np.arange(FOLDS), 2).tolist()


def test_the_classes_that_are_missed_least_are_given_up():
    work = Classification(Shapes(), 1, 2.0, 0, torch.device("cpu"))
    positions = np.arange(30)  # ten have no class yet
    work.state.labels[:30] = np.repeat([0, 1, 2], [5, 15, 10])
    work.state.margins[:30] = np.repeat([3.0, 0.5, 2.0], [5, 15, 10])
    work.bank = work.bank_of(positions, work.state.labels, 3)
    work.change_number(positions, 2)
    assert work.bank.counts.sum(0).tolist() == [5.0, 10.0]  # though the one between had most
    assert work.state.labels.tolist() == [0] * 5 + [-1] * 15 + [1] * 10 + [-1] * 10


def test_for_the_last_level_classes_of_one_view_are_joined_and_its_particles_lie_on_each_other():
    """Two classes of one shape, one of them rotated and shifted, beside its mirror image and another shape."""
    views = [shape(0), shape(1), rotated(shape(0), 0.9, (1.0, -0.5)), torch.roll(shape(0).flip(0), 1, 0)]
    records, noise = Shapes(), 0.3 * torch.randn(40, 32, 32, generator=torch.Generator().manual_seed(0))
    power = polar_ring_power(GRID.harmonics(GRID.sample(noise))).mean()
    records.samples = GRID.sample(torch.stack(views).repeat_interleave(10, 0) + noise) / power**0.5
    work, positions = Classification(records, 3, 2.0, 0, torch.device("cpu")), np.arange(40)
    work.state.labels[:] = np.repeat(np.arange(4), 10)
    work.bank = work.bank_of(positions, work.state.labels, 4)
    work.change_number(positions, 3)
    first, *others = work.state.labels.reshape(4, 10).tolist()
    assert first == others[1] and len({first[0], others[0][0], others[2][0]}) == 3
    assert work.bank.counts.sum(0)[first[0]] == 20
    anew = work.bank_of(positions, work.state.labels, 3)  # with the poses that the particles have now
    assert torch.allclose(work.bank.sums, anew.sums, atol=0.03 * float(anew.sums.abs().max()))
    joined, inside = image_of(GRID.samples_of(work.bank.averages()))[first[0]], GRID.mask > 0.99
    assert max(torch.corrcoef(torch.stack([joined[inside], views[n][inside]]))[0, 1] for n in (0, 2)) > 0.95


def test_passes_of_an_earlier_version_that_had_other_levels_are_not_taken_up_which_is_said(tmp_path, capsys):
    work = Classification(Shapes(), 2, 2.0, 0, torch.device("cpu"))
    work.state.labels[:] = 0
    for done, taken in (((1, 0, 3), False), ((2, 1, 2), False), ((1, 1, 2), True)):
        run._keep(work, run.Pass(*done), tmp_path / "passes.npz")
        messages.HEARD.clear()
        assert (run._restored(work, tmp_path / "passes.npz") is not None) == taken
        assert ("begin anew" in capsys.readouterr().out) == (not taken)


def test_a_class_of_two_shapes_is_parted_into_them():
    rng = torch.Generator().manual_seed(0)
    noise = 0.2 * torch.randn(10, 32, 32, generator=rng)
    members = coefficients(*(shape(n % 2) + noise[n] for n in range(10)))
    side = halves(GRID, members, torch.ones(10, 12)).tolist()
    assert side[0::2] == [side[0]] * 5 and side[1::2] == [not side[0]] * 5


def test_taking_back_a_turn_gives_the_image_again():
    back = rotated_averages(rotated(shape(0), 0.6, (0, 0))[None], torch.tensor([0.6]))[0]
    inside = GRID.mask > 0.99
    assert torch.corrcoef(torch.stack([back[inside], shape(0)[inside]]))[0, 1] > 0.99


def test_an_average_of_noise_has_no_resolution_and_hardly_any_contrast():
    rng = np.random.default_rng(0)
    noise = torch.from_numpy(rng.standard_normal((1, 2, 32, 32)).astype("float32")) * 5
    found = wiener_averages(noise, torch.full((1, 2, 17), 25.0), 14.0, 4.0)
    signal = wiener_averages(25 * shape(0).expand(1, 2, 32, 32), torch.full((1, 2, 17), 25.0), 14.0, 4.0)
    assert found.images.std() < 0.2 * signal.images.std()
    assert signal.resolutions[0] == pytest.approx(8.0)


def test_the_edge_within_which_halves_are_compared_is_soft():
    """Two pixels wide to each side: what differs beyond is not seen, what differs within counts in part."""
    weights, differences = torch.full((1, 2, 17), 25.0), []
    for beyond in (1, 3):
        halves_of = 25 * shape(0).repeat(1, 2, 1, 1).reshape(1, 2, 32, 32)
        halves_of[0, 1, 16, 16 + 10 + beyond] += 100
        curves = wiener_averages(halves_of, weights, 10.0, 4.0).curves
        differences.append(float((curves - 1).abs().max()))
    assert differences[0] > 0.001 and differences[1] < 1e-4


@pytest.mark.parametrize("seed", range(2, 6))
def test_scores_like_those_of_made_up_noise_have_no_chance_of_signal(seed):
    rng = np.random.default_rng(seed)  # particles, noise, and other junk between them, as at SNR 0.1 in coloured noise
    parts = rng.normal(12, 3, 3000).clip(7), rng.normal(5.3, 0.6, 450), rng.normal(6.3, 1.3, 450)
    found = signal_probabilities(np.concatenate(parts), rng.normal(5.3, 0.6, 500))
    assert found[3000:3450].min() < 0.02 and np.median(found[:3000]) > 0.99
    kept = found >= particle_cut(found.tolist(), float(found.mean()), 0.02)
    assert kept[:3000].mean() > 0.96 and kept[3000:3450].mean() < 0.05


def test_noise_that_classes_are_made_of_scores_higher_than_made_up_noise():
    rng = np.random.default_rng(0)  # as 400 images at SNR 0.1 did, half of them noise
    made, scores = rng.normal(4.76, 0.53, 500), np.r_[rng.normal(11.6, 3, 200).clip(6.5), rng.normal(5.43, 0.77, 200)]
    own, others = (signal_probabilities(scores, made, own=own) for own in (True, False))
    assert own[200:].mean() < 0.4 < 0.5 < others[200:].mean() and own[:200].mean() > 0.93


@pytest.mark.parametrize("risen, wider, count", [(1.35, 1.5, 720), (1.5, 1.55, 1080)])
def test_of_much_noise_little_is_called_signal(risen, wider, count):
    rng = np.random.default_rng(1)  # as 1,200 images of RNA polymerase II did, 60 % of noise at SNR 0.05, 90 % at 0.1
    middle, size = (5.2, 2.2) if count < 1000 else (10, 3)
    scores = np.r_[rng.normal(middle, size, 1200 - count), rng.normal(risen, wider, count)] * 0.54 + 5
    found = signal_probabilities(scores, rng.normal(5, 0.54, 500))
    signal, noise = np.split(found, [1200 - count])
    assert found.mean() < 1.2 - count / 1200 and noise.mean() < 0.27 and signal.mean() > 0.8


def test_settled_classes_end_with_the_fourth_pass_of_the_last_level_and_others_with_the_last_one():
    passes = lambda level, changed: [run.Pass(level, epoch, 8, changed) for epoch in range(9)]
    ends = lambda level, changed: [p.epoch for p in passes(level, changed) if run._finished(p, [2, 8], 7)]
    assert ends(1, 0.02) == [3, 4, 5, 6, 7, 8] and ends(1, 0.03) == [6, 7, 8] and ends(0, 0.0) == []


def test_of_two_places_that_fit_alike_the_one_nearer_to_the_middle_is_likelier():
    blob = lambda x: torch.exp(
        -((torch.arange(32) - 16.0)[:, None] ** 2 + (torch.arange(32) - 16.0 - x)[None] ** 2) / 4
    )
    particle, average = GRID.sample((blob(-5) + 0.99 * blob(3))[None]), coefficients(blob(0))

    def found(spread, brightness):
        detail = Detail(rings=12, orders=20, angles=24, reach=6.0, step=1.0, candidates=1, spread=spread)
        references = References(GRID, average, detail)
        return match(brightness * particle, torch.ones(1, 12), torch.zeros(1, 2), references)

    dim = 10 / float(found(math.inf, 1.0).scores)  # 10 standard deviations of the noise
    assert torch.allclose(found(math.inf, dim).shifts_yx, torch.tensor([[0.0, -5.0]]), atol=0.6)
    assert torch.allclose(found(2.0, dim).shifts_yx, torch.tensor([[0.0, 3.0]]), atol=0.6)
    assert torch.allclose(found(2.0, 50 * dim).shifts_yx, torch.tensor([[0.0, -5.0]]), atol=0.6)  # its signal decides
    assert float(found(2.0, dim).scores) == pytest.approx((0.98 * 100 - 3**2 / 2**2) ** 0.5, rel=0.02)


def test_how_far_particles_lie_from_the_middle_is_learnt_from_the_better_half():
    work = Classification(Shapes(), 2, 4.0, 0, torch.device("cpu"))
    assert work.spread == 2.0  # before anything is known
    rng = np.random.default_rng(0)
    work.state.shifts_yx[:] = np.where(np.arange(40)[:, None] < 20, rng.normal(0, 1, (40, 2)), 4)
    work.state.scores[:], work.state.labels[:] = np.where(np.arange(40) < 20, 9, 5), 0
    work.learn_spread()
    assert work.spread == pytest.approx(1, abs=0.25)


def test_averages_are_moved_to_where_their_members_lie_around_the_middle_of_their_boxes():
    work = Classification(Shapes(), 2, 4.0, 0, torch.device("cpu"))
    rng, positions = np.random.default_rng(1), np.arange(30)  # ten have no class
    work.state.labels[:30] = positions % 2
    work.state.phi[:30] = rng.uniform(-np.pi, np.pi, 30)
    away = torch.tensor([[1.5, -1.0], [0.0, 2.0]])[positions % 2]  # of the classes' own
    turned = rotated_yx(away, torch.from_numpy(work.state.phi[:30])).numpy()
    around = rng.normal(0, 0.1, (15, 2)).repeat(2, 0) * np.tile([1, -1], 15)[:, None]
    work.state.shifts_yx[:30] = turned + around
    work.bank = work.bank_of(positions, work.state.labels, 2)
    work.recentre(positions)
    assert np.abs(work.state.shifts_yx[:30]).max() < 0.5  # what is left is each one's own
    assert not work.state.shifts_yx[30:].any()
    anew = work.bank_of(positions, work.state.labels, 2)
    assert torch.allclose(work.bank.sums, anew.sums, atol=0.03 * float(anew.sums.abs().max()))
