# SPDX-License-Identifier: GPL-3.0-or-later
"""From picks to a map in RELION 3.1 on one core: extraction, 2-D classes, initial model, two half maps, FSC.

The steps are those of a usual project, small: the same command lines for every picker, so that only the picks differ.
relion_refine_mpi's auto-refinement keeps a core busy waiting for the other two; the two halves are refined one after
the other instead, from one initial model filtered to `START_RESOLUTION`, with a fixed number of iterations.
"""

import os
import subprocess
import time
from pathlib import Path

import numpy as np

CLASSES, CLASS_ITERATIONS, REFINE_ITERATIONS = 6, 10, 5
START_RESOLUTION = 50  # Å; each half starts without anything finer, so that agreement beyond it comes from the data
GOOD_CLASS = 1.3  # 2-D classes are kept up to so many times the resolution of the best class


class Relion:
    """RELION's programs in one folder. `seconds` sums their CPU time, `log` keeps what they said."""

    def __init__(self, folder, pixel_size, diameter, box, symmetry, correction):
        """pixel_size: Å/px. diameter: Å. box: px, even. correction: ("--ctf",) or ()."""
        self.folder, self.pixel_size, self.diameter, self.box = Path(folder), pixel_size, diameter, box
        self.symmetry, self.correction, self.seconds = symmetry, correction, 0.0

    def run(self, program, *options):
        """One RELION program, one thread. Raises RuntimeError with the end of what it said."""
        command = [program, *map(str, options)]
        with open(self.folder / "log.txt", "a") as log:
            log.write(" ".join(command) + "\n")
            log.flush()
            process = subprocess.Popen(
                command, cwd=self.folder, stdout=log, stderr=log, env=dict(os.environ, OMP_NUM_THREADS="1")
            )
            _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        self.seconds += usage.ru_utime + usage.ru_stime
        if process.returncode:
            raise RuntimeError(
                f"{' '.join(command)} failed; {self.folder / 'log.txt'} ends with:\n"
                + (self.folder / "log.txt").read_text()[-1500:]
            )

    def extract(self, micrographs, picks, ctf):
        """Cut the particles out: `particles.star`. Returns their number.

        micrographs: paths. picks: {name: (n, 2) yx}. ctf: {name: (defocus U, V in Å, angle, kV, Cs in mm, amplitude
        contrast)}.
        """
        (self.folder / "micrographs").mkdir(parents=True)
        for path in micrographs:
            (self.folder / "micrographs" / Path(path).name).symlink_to(Path(path).resolve())
            yx = picks[Path(path).stem]
            if len(yx):
                write_star(
                    self.folder / "micrographs" / f"{Path(path).stem}_picks.star",
                    {"": (["CoordinateX", "CoordinateY"], [f"{x:.2f} {y:.2f}" for y, x in yx])},
                )
        names = [Path(p).name for p in micrographs if len(picks[Path(p).stem])]
        _, _, _, kv, cs, contrast = ctf[Path(names[0]).stem]
        optics = (
            [
                "OpticsGroupName",
                "OpticsGroup",
                "MicrographPixelSize",
                "Voltage",
                "SphericalAberration",
                "AmplitudeContrast",
            ],
            [f"one 1 {self.pixel_size} {kv} {cs} {contrast}"],
        )
        rows = [f"micrographs/{n} 1 " + " ".join(str(v) for v in ctf[Path(n).stem][:3]) for n in names]
        write_star(
            self.folder / "micrographs.star",
            {
                "optics": optics,
                "micrographs": (["MicrographName", "OpticsGroup", "DefocusU", "DefocusV", "DefocusAngle"], rows),
            },
        )
        self.run(
            "relion_preprocess",
            "--i",
            "micrographs.star",
            "--coord_suffix",
            "_picks.star",
            "--coord_dir",
            "./",
            "--extract",
            "--extract_size",
            self.box,
            "--norm",
            "--bg_radius",
            int(0.45 * self.box),
            "--invert_contrast",
            "--part_dir",
            "boxes/",
            "--part_star",
            "particles.star",
        )
        return len(star_rows(self.folder / "particles.star", "particles")[1])

    def classify(self):
        """2-D classes; particles of good ones go to `selected.star`. Returns their number."""
        self._refine(
            "class2d",
            "particles.star",
            "--K",
            CLASSES,
            "--iter",
            CLASS_ITERATIONS,
            "--psi_step",
            12,
            "--tau2_fudge",
            2,
            "--offset_range",
            4,
        )
        last = self.folder / f"class2d_it{CLASS_ITERATIONS:03d}_model.star"
        labels, rows = star_rows(last, "model_classes")
        resolution = np.array([float(r[labels.index("_rlnEstimatedResolution")]) for r in rows])
        share = np.array([float(r[labels.index("_rlnClassDistribution")]) for r in rows])
        good = np.flatnonzero((resolution <= GOOD_CLASS * resolution[share > 0.02].min()) & (share > 0.02)) + 1
        labels, rows = star_rows(last.with_name(last.name.replace("model", "data")), "particles")
        number = labels.index("_rlnClassNumber")
        kept = {r[labels.index("_rlnImageName")] for r in rows if int(r[number]) in good}
        labels, rows = star_rows(self.folder / "particles.star", "particles")
        self._write_particles("selected", labels, [r for r in rows if r[labels.index("_rlnImageName")] in kept])
        return len(kept)

    def initial_model(self):
        """`initial_it030_class001.mrc`, from random orientations by stochastic gradient descent.

        RELION refines the angles by itself as the resolution grows, which takes most of the time; to start from
        START_RESOLUTION, 60 Å are enough.
        """
        self._refine(
            "initial",
            "selected.star",
            "--denovo_3dref",
            "--sgd",
            "--sgd_ini_iter",
            15,
            "--sgd_inbetween_iter",
            10,
            "--sgd_fin_iter",
            5,
            "--sgd_ini_resol",
            75,
            "--sgd_fin_resol",
            60,
            "--sgd_ini_subset",
            40,
            "--sgd_fin_subset",
            60,
            "--sgd_write_iter",
            30,
            "--K",
            1,
            "--healpix_order",
            1,
            "--oversampling",
            0,
            "--offset_range",
            3,
            "--offset_step",
            1.5,
            "--maxsig",
            100,
            "--incr_size",
            1,
            "--sym",
            self.symmetry,
        )

    def refine(self, star="selected.star", reference="initial_it030_class001.mrc"):
        """Two halves, each refined alone. Returns the resolution in Å at which their FSC falls below 0.143.

        Both maps are masked by RELION with a soft sphere of the particle's diameter (--flatten_solvent), nothing
        tighter. star, reference: names in the folder; of the reference nothing finer than START_RESOLUTION is used.
        """
        maps = self.refined_halves(star, reference)
        return resolution_at(shell_correlation(*maps, self.pixel_size), 0.143)

    def refined_halves(self, star, reference):
        """The maps of both halves."""
        import mrcfile

        labels, rows = star_rows(self.folder / star, "particles")
        for half in (1, 2):
            name = f"half{half}"
            self._write_particles(name, labels, rows[half - 1 :: 2])
            self._refine(
                name,
                f"{name}.star",
                "--ref",
                reference,
                "--ini_high",
                START_RESOLUTION,
                "--firstiter_cc",
                "--K",
                1,
                "--iter",
                REFINE_ITERATIONS,
                "--healpix_order",
                2,
                "--maxsig",
                200,
                "--incr_size",
                4,
                "--offset_range",
                3,
                "--sym",
                self.symmetry,
            )
        return [mrcfile.read(self.folder / f"half{half}_it{REFINE_ITERATIONS:03d}_class001.mrc") for half in (1, 2)]

    def reconstructed_halves(self):
        """Maps of both refined halves from their images alone: neither filtered nor masked, as the refined ones are."""
        import mrcfile

        for name in ("half1", "half2"):
            star = f"{name}_it{REFINE_ITERATIONS:03d}_data.star"
            output = ("--o", f"{name}_images.mrc")
            self.run("relion_reconstruct", "--i", star, *output, *self.correction, "--sym", self.symmetry)
        return [mrcfile.read(self.folder / f"{name}_images.mrc") for name in ("half1", "half2")]

    def _refine(self, name, star, *options):
        self.run(
            "relion_refine",
            "--o",
            f"./{name}",
            "--i",
            star,
            *self.correction,
            "--norm",
            "--scale",
            "--flatten_solvent",
            "--zero_mask",
            "--particle_diameter",
            round(1.1 * self.diameter),
            "--pad",
            1,
            "--random_seed",
            1,
            "--dont_combine_weights_via_disc",
            "--preread_images",
            "--pool",
            10,
            "--j",
            1,
            *options,
        )

    def _write_particles(self, name, labels, rows):
        optics = star_rows(self.folder / "particles.star", "optics")
        tables = {"optics": optics, "particles": (labels, rows)}
        write_star(
            self.folder / f"{name}.star",
            {k: ([c[4:] for c in head], [" ".join(r) for r in body]) for k, (head, body) in tables.items()},
        )


def reconstruct(folder, micrographs, picks, ctf, case):
    """All steps. case: pixel_size, diameter (Å), box (px), symmetry, and ctf: None for no CTF correction.

    Returns dict: extracted, kept (after 2-D classes), resolution (Å), cpu, wall (s).
    """
    start = time.monotonic()
    relion = Relion(folder, case.pixel_size, case.diameter, case.box, case.symmetry, ("--ctf",) if case.ctf else ())
    extracted = relion.extract(micrographs, picks, ctf)
    kept = relion.classify()
    relion.initial_model()
    resolution = relion.refine()
    return dict(
        extracted=extracted, kept=kept, resolution=resolution, cpu=relion.seconds, wall=time.monotonic() - start
    )


def shell_correlation(first, second, pixel_size):
    """Fourier shell correlation of two cubes, [(resolution in Å, FSC), ...] from coarse to fine, shells one voxel
    wide."""
    side = len(first)
    f, g = np.fft.rfftn(first), np.fft.rfftn(second)
    axis = np.fft.fftfreq(side, 1 / side)
    radius = np.sqrt(axis[:, None, None] ** 2 + axis[None, :, None] ** 2 + np.arange(side // 2 + 1) ** 2)
    shell = np.rint(radius).astype(int).ravel()
    total = lambda values: np.bincount(shell, values.ravel())[1 : side // 2 + 1]
    cross = total((f * g.conj()).real) / np.sqrt(total(np.abs(f) ** 2) * total(np.abs(g) ** 2))
    return [(side * pixel_size / n, float(value)) for n, value in enumerate(cross, 1)]


def resolution_at(fsc, level):
    """Å at which an FSC [(Å, value), ...], coarse to fine, first falls below `level`, interpolated in frequency."""
    for (coarse, above), (fine, below) in zip(fsc, fsc[1:]):
        if below < level:
            part = (above - level) / (above - below) if above > level else 0.0
            return 1 / ((1 - part) / coarse + part / fine)
    return fsc[-1][0]


def write_star(path, tables):
    """tables: {name: (labels without rln, [row texts])}."""
    text = ""
    for name, (labels, rows) in tables.items():
        text += f"\ndata_{name}\n\nloop_\n" + "".join(f"_rln{label} #{i}\n" for i, label in enumerate(labels, 1))
        text += "\n".join(rows) + "\n"
    Path(path).write_text(text)


def star_rows(path, table):
    """Labels and rows (lists of texts) of one table of a STAR file."""
    import gemmi

    block = gemmi.cif.read_file(str(path)).find_block(table)
    loop = next(item.loop for item in block if item.loop)
    return list(loop.tags), [[loop[r, c] for c in range(loop.width())] for r in range(loop.length())]
