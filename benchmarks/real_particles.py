# SPDX-License-Identifier: GPL-3.0-or-later
"""From real micrographs to a map: CTF, particles at the labels (relion_preprocess), orientations, map, FSC, controls.

    PYTHON benchmarks/real_particles.py --set 10017 --particles 1000 --output work/ [--figures FILE.json]
    PYTHON benchmarks/real_particles.py --set 10028 --output work/ [--figures FILE.json]

The data are those of CRYODL_DATA (its READMEs say where they are from). Controls: another structure as reference, and
images of pure noise with the same reference. Angles come from the reference, so that the halves share it: what a
half-map FSC is worth is seen beside that of the noise. Beside it RELION 3.1 refines the same particles from the known
map below 50 Å, each half alone (benchmarks/relion.py). A step whose output is there is not done again. FILE gets the
figures of the set; those of others stay in it. With --picks the particles are those that the general model picks, with
nothing given, in place of the published ones; the controls are not repeated for them.
"""

import argparse
import json
import os
import subprocess
from pathlib import Path

import numpy as np
from common import cryodl, data_folder
from parts import engine_path, pick
from relion import REFINE_ITERATIONS, Relion, resolution_at, shell_correlation

engine_path()

# flip: whether the micrographs are upside down. defocus: Å, taken where no CTF can be estimated. diameter: Å.
SETS = {
    "10017": dict(
        folder="empiar10017_betagal",
        pixel=3.54,
        voltage=300.0,
        cs=2.0,
        box=64,
        flip=True,
        defocus=15000.0,
        diameter=191,
        reference="maps_models/betagal_ngl.mrc",
        other="structures/complexes/3C91.pdb.gz",
        symmetry="D2",
    ),
    "10028": dict(
        folder="empiar10028_ribosome",
        pixel=5.36,
        voltage=300.0,
        cs=2.0,
        box=80,
        flip=False,
        defocus=20000.0,
        diameter=300,
        reference="structures/maps/SIM_4V4R_70S_10A.mrc.gz",
        other="structures/complexes/1OEL.pdb.gz",
        symmetry="C1",
    ),
}


def prepare(case, work, own_picks):
    """Micrographs (turned over if they are upside down) and coordinates, as RELION's extraction looks for them."""
    import mrcfile

    from cryodl.io.coordinates import read_coordinates, write_coordinates

    (work / "mics").mkdir(parents=True, exist_ok=True)
    (work / "coords/mics").mkdir(parents=True, exist_ok=True)
    source = data_folder() / case["folder"]
    positions = read_coordinates(source / "coords")
    for path in sorted((source / "micrographs").glob("*.mrc")):
        image = mrcfile.read(path).astype(np.float32)
        places, scores = positions[path.stem]
        places = np.array(places, float)
        if case["flip"]:
            image, places = image[::-1], np.column_stack([places[:, 0], len(image) - 1 - places[:, 1]])
        with mrcfile.new(work / "mics" / path.name, overwrite=True) as mrc:
            mrc.set_data(np.ascontiguousarray(image))
            mrc.voxel_size = case["pixel"]
        write_coordinates(work / "coords/mics" / f"{path.stem}.star", places, scores)
    if own_picks:
        if not (work / "picks").exists():
            pick(sorted((work / "mics").glob("*.mrc")), case["pixel"], None, "general", work / "picks")
        for name, (places, scores) in read_coordinates(work / "picks").items():
            write_coordinates(work / "coords/mics" / f"{name}.star", places, scores)


def estimate(case, work):
    """ctf.star. Returns a sentence about where the CTF is from."""
    from cryodl.io.star import write_tables

    mics = sorted(str(p.relative_to(work)) for p in (work / "mics").glob("*.mrc"))
    command = (
        "estimate-ctf",
        "--micrographs",
        "mics/*.mrc",
        "--pixel-size",
        case["pixel"],
        "--voltage",
        case["voltage"],
        "--spherical-aberration",
        case["cs"],
        "--output",
        "ctf.star",
    )
    try:
        return cryodl(*command)[0].strip().splitlines()[-1]
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
    count, defocus = len(mics), case["defocus"]
    write_tables(
        work / "ctf.star",
        dict(
            optics=dict(
                rlnOpticsGroupName=["opticsGroup1"],
                rlnOpticsGroup=[1],
                rlnMicrographOriginalPixelSize=[case["pixel"]],
                rlnVoltage=[case["voltage"]],
                rlnSphericalAberration=[case["cs"]],
                rlnAmplitudeContrast=[0.1],
                rlnMicrographPixelSize=[case["pixel"]],
            ),
            micrographs=dict(
                rlnMicrographName=mics,
                rlnOpticsGroup=[1] * count,
                rlnDefocusU=[defocus] * count,
                rlnDefocusV=[defocus] * count,
                rlnDefocusAngle=[0.0] * count,
            ),
        ),
    )
    return f"No CTF could be estimated; {defocus:g} Å was taken for all. {reason}"


def extract(case, work, number, seed):
    """particles.star: a random choice of the particles at the labels; blank.star: as many images of noise."""
    import mrcfile

    from cryodl.io.star import read_tables, write_tables

    box = case["box"]
    if not (work / "Extract/particles.star").exists():
        subprocess.run(
            [
                "relion_preprocess",
                "--i",
                "ctf.star",
                "--coord_dir",
                "coords/",
                "--coord_suffix",
                ".star",
                "--part_star",
                "Extract/particles.star",
                "--part_dir",
                "Extract/",
                "--extract",
                "--extract_size",
                str(box),
                "--norm",
                "--bg_radius",
                str(int(0.4 * box)),
                "--white_dust",
                "-1",
                "--black_dust",
                "-1",
                "--invert_contrast",
            ],
            cwd=work,
            check=True,
            capture_output=True,
        )
    tables = read_tables(work / "Extract/particles.star")
    columns = tables["particles"]
    random = np.random.default_rng(seed)
    chosen = np.sort(random.permutation(len(columns["rlnImageName"]))[:number])
    tables["particles"] = {name: [values[i] for i in chosen] for name, values in columns.items()}
    write_tables(work / "particles.star", tables)
    with mrcfile.new(work / "blank.mrcs", overwrite=True) as mrc:
        mrc.set_data(random.standard_normal((len(chosen), box, box)).astype(np.float32))
        mrc.set_image_stack()
        mrc.voxel_size = case["pixel"]
    tables["particles"]["rlnImageName"] = [f"{i:06d}@blank.mrcs" for i in range(1, len(chosen) + 1)]
    write_tables(work / "blank.star", tables)
    return len(chosen), len(columns["rlnImageName"])


def reference_map(path, box, pixel_size):
    """A map's central cube of `box` voxels, resampled to a pixel size, float32."""
    import mrcfile
    from scipy.ndimage import affine_transform

    with mrcfile.open(path) as mrc:
        data, voxel = mrc.data.astype(np.float32), float(mrc.voxel_size.x)
    scale = pixel_size / voxel
    offset = np.array([side // 2 for side in data.shape]) - scale * (box // 2)
    return affine_transform(data, np.full(3, scale), offset, (box,) * 3, order=3).astype(np.float32)


def chain(case, work, name, particles, structure, symmetry, resolution):
    """Orientations and map. Returns the figures."""
    import mrcfile

    oriented, volume = f"{name}.star", f"{name}.mrc"
    if not (work / volume).exists():
        cryodl(
            "assign-orientations",
            "--particles",
            particles,
            "--structure",
            structure,
            "--output",
            oriented,
            "--symmetry",
            symmetry,
            "--contrast",
            "bright",
            "--resolution",
            resolution,
        )
        cryodl("reconstruct", "--particles", oriented, "--output", volume, "--symmetry", symmetry)
    from cryodl.io.star import read_tables

    halves = [mrcfile.read(work / f"{name}_half{n}.mrc") for n in (1, 2)]
    columns = read_tables(work / oriented)["particles"]
    mean = lambda column: float(np.mean([float(value) for value in columns[column]]))
    return dict(
        curves(case, halves, mrcfile.read(work / volume)),
        mean_probability=mean("rlnMaxValueProbDistribution"),
        explained=mean("cryodlExplained"),
    )


def curves(case, halves, whole):
    """FSC of half-maps, and of a map with the known one, in a soft sphere: [(Å, value)]; where they end, Å."""
    mask = soft_sphere(case["box"], 0.42 * case["box"])
    known = reference_map(data_folder() / case["reference"], case["box"], case["pixel"])
    half = shell_correlation(*(mask * h for h in halves), case["pixel"])
    model = shell_correlation(mask * whole, mask * known, case["pixel"])
    return dict(
        half_map=half,
        with_reference=model,
        half_map_0143=resolution_at(half, 0.143),
        with_reference_05=resolution_at(model, 0.5),
    )


def refined_by_relion(case, work, reference, symmetry):
    """The same particles refined by RELION, from what the reference has below 50 Å. Returns the figures."""
    relion = Relion(work, case["pixel"], case["diameter"], case["box"], symmetry, ("--ctf",))
    if not (work / f"half2_it{REFINE_ITERATIONS:03d}_data.star").exists():
        relion.refined_halves("particles.star", reference)
    halves = relion.reconstructed_halves()
    return dict(curves(case, halves, sum(halves) / 2))


def flat_reference(case, work):
    """The known map without its surroundings (a sphere, and a tenth of its maximum), in the particles' box."""
    import mrcfile

    box = case["box"]
    volume = reference_map(data_folder() / case["reference"], box, case["pixel"]) * soft_sphere(box, 0.42 * box)
    with mrcfile.new(work / "reference.mrc", overwrite=True) as mrc:
        mrc.set_data(np.where(volume > 0.1 * volume.max(), volume, 0).astype(np.float32))
        mrc.voxel_size = case["pixel"]
    return "reference.mrc"


def soft_sphere(box, radius):
    """(box, box, box) mask with an edge of 4 px."""
    axis = np.arange(box) - box // 2
    distance = np.sqrt(axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2)
    return np.clip((radius - distance) / 4 + 0.5, 0, 1).astype(np.float32)


def report(name, row):
    """One line of a row."""
    sure = row.get("mean_probability", "")
    print(f"| {name} | {sure} | {row['half_map_0143']} | {row['with_reference_05']} |", flush=True)


def draw(results, path, finest):
    """Curves of all rows."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, 2, figsize=(12, 4))
    for axes, key, title in zip(panels, ("half_map", "with_reference"), ("Half-maps", "Map and known map")):
        for name, row in results.items():
            axes.plot([1 / resolution for resolution, _ in row[key]], [value for _, value in row[key]], label=name)
        axes.set_xlim(0, 1 / finest)
        axes.axhline(0.143 if key == "half_map" else 0.5, color="grey", linewidth=0.7)
        axes.set_xlabel("Spatial frequency (1/Å)")
        axes.set_title(title)
        axes.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=70)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", choices=SETS, default="10017")
    parser.add_argument("--particles", type=int, default=1000)
    parser.add_argument("--resolution", type=float, default=30.0, help="Å: finest detail that orientations are from")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--figures", type=Path, help="JSON file for the figures")
    parser.add_argument("--picks", action="store_true", help="particles of our own picks")
    arguments = parser.parse_args()
    figures = arguments.figures and arguments.figures.resolve()
    name = f"{arguments.set}, own picks" if arguments.picks else arguments.set
    case, work = SETS[arguments.set], (arguments.output / name.replace(", ", "_").replace(" ", "_")).resolve()
    work.mkdir(parents=True, exist_ok=True)
    os.chdir(work)  # RELION's names are relative to its project
    prepare(case, work, arguments.picks)
    said = estimate(case, work)
    print(said)
    chosen, there = extract(case, work, arguments.particles, arguments.seed)
    print(f"{chosen} of {there} particles")
    known, other = flat_reference(case, work), str(data_folder() / case["other"])
    ways = [("known structure", "particles.star", known, "C1")]
    if case["symmetry"] != "C1":
        ways.append(("known structure, " + case["symmetry"], "particles.star", known, case["symmetry"]))
    if not arguments.picks:
        ways += [("other structure", "particles.star", other, "C1"), ("noise", "blank.star", known, "C1")]
    results = {}
    for way, particles, structure, symmetry in ways:
        file = way.replace(" ", "_").replace(",", "")
        results[way] = chain(case, work, file, particles, structure, symmetry, arguments.resolution)
        report(way, results[way])
    if not arguments.picks:
        results["RELION"] = refined_by_relion(case, work, known, case["symmetry"])
        report("RELION", results["RELION"])
    found = dict(ctf=said, particles=chosen, resolution=arguments.resolution, rows=results)
    (work / "results.json").write_text(json.dumps(found, indent=1))
    if figures:
        ends = {way: {k: v for k, v in row.items() if not isinstance(v, list)} for way, row in results.items()}
        kept = json.loads(figures.read_text()) if figures.exists() else {}
        kept[name] = dict(found, symmetry=case["symmetry"], rows=ends)
        figures.write_text(json.dumps(kept, indent=1) + "\n")
    draw(results, work / "fsc.png", 2 * case["pixel"])


if __name__ == "__main__":
    main()
