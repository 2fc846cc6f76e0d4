# SPDX-License-Identifier: GPL-3.0-or-later
"""Which molecule particles show: those of another generator, and real ribosomes, against a folder of structures."""

import csv

from bench import CPU, benchmark, cryodl, groups, real, recorded, structure_file
from recipes.other_particles import make_set

# Structures of one molecule: to name one of them is right, and where it is to be absent, all of them are left out.
FAMILIES = (
    *(("1OEL", "1AON"), ("3C91", "3J9I"), ("6VXX", "6ZWV"), ("9BE6", "1KX5", "5O9G"), ("4V4R_30S", "2YKR_30S")),
    *(("8TSO", "8TSQ"), ("6RN3", "1QVR"), ("8BK7",), ("1WCM",), ("8UV2",), ("7QPD",), ("6MMM",), ("5GJV",), ("1U6G",)),
    *(("2CG9",), ("3IYD",), ("3G61",), ("6O1M",), ("7PBL",), ("9N5J",), ("9JMB",), ("3D2F",)),
)
QUERIES = (
    *("8BK7", "6VXX", "9BE6", "1WCM", "8TSO", "8UV2", "3C91", "7QPD", "1OEL", "4V4R_30S", "6RN3", "5GJV", "1U6G"),
    *("6MMM", "2CG9", "3IYD", "9N5J", "6O1M", "3G61", "7PBL", "9JMB", "3D2F", "5O9G", "8TSQ"),
)
MIXTURES = (("8BK7", "8BK7", "1WCM"), ("6VXX", "8UV2"), ("2CG9", "3C91"))  # in equal parts: the first holds two to one
RIBOSOMES = ("SIM_4V4R_70S_5A", "SIM_5MRC_10A", "SIM_4V4R_50S_10A", "2YKR_30S", "4V4R_30S")
OTHERS = ("8BK7", "6VXX", "1WCM", "8UV2", "1OEL", "3C91", "5GJV", "SIM_4V94_10A", "SIM_4CR2_10A", "5H64")


def family(name):
    return next((one for one in FAMILIES if name in one), (name,))


def cases():
    kinds = [("present", name) for name in QUERIES] + [("mixture", "+".join(names)) for names in MIXTURES]
    absent = [("absent", name) for name in QUERIES[: len(QUERIES) // 2]]
    mixed = [one for pair in zip(kinds[: len(absent)], absent) for one in pair]
    return [dict(kind=kind, query=query) for kind, query in mixed + kinds[len(absent) :]]


def ranked(run, key, star, names):
    """Rows of ranking.csv, the outputs and CPU seconds of `cryodl identify` with structures of these names."""
    listed, folder = run.work(f"list {key}") / "structures.txt", run.folder(f"out {key}")
    listed.write_text("".join(f"{structure_file(name)}\n" for name in names))
    made, _, cost = recorded("identify", folder, "--particles", star, "--structures", listed, *CPU)
    with open(folder / "ranking.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file)), made, cost[1]


of_kinds = lambda rows, key: {
    kind: [row for row in rows if row[key] == kind] for kind in ("present", "absent", "mixture")
}
count = lambda key: lambda part: sum(bool(row[key]) for row in part)
unless_absent = lambda column: lambda part: "-" if part[0]["kind"] == "absent" else column(part)
table = groups(
    ("kind",),
    {
        "queries": "kind",
        "number": len,
        "right first": unless_absent(count("right")),
        "found": count("found"),
        "cannot be told apart": count("alike"),
        "none of these": count("none"),
        "found wrongly": count("wrong"),
        "worst share (points)": unless_absent(lambda part: f"{max(row['share_error'] for row in part):.0f}"),
        "CPU s a structure": lambda part: f"{sum(r['cpu'] for r in part) / sum(r['structures'] for r in part):.1f}",
    },
    of_kinds,
)


@benchmark(cases=cases, tables={"identify": table}, quick=dict(count=60, folder=3))
def identify(run, kind, query, count=300, snr=0.05, folder=99):
    """The molecule of simulated particles of another generator, 64 px of 4 A, coloured noise, SNR over the box, in a
    folder with its family, or without; and shares of mixtures. Wrong: found, and not of the family."""
    names = query.split("+")
    files, seed = [structure_file(name) for name in names], 100 + sum(map(ord, query))
    made = lambda path: make_set(path, files, count // len(names), {}, snr, seed=seed)
    star = run.kept(f"{query}-{count}-{snr:g}", made) / "particles.star"
    mine = set(map(family, names))
    others = [name for one in FAMILIES if one not in mine for name in one][:folder]
    own = [] if kind == "absent" else [name for one in mine for name in one]
    rows, made, cpu = ranked(run, f"{kind} {query}", star, sorted(own + others))
    share = lambda name: sum(float(row["share"]) for row in rows if family(row["structure"]) == family(name))
    error = max(100 * abs(share(name) - names.count(name) / len(names)) for name in names)
    first = rows[0]
    wrong = [name for name in made["found"] if kind == "absent" or family(name) not in mine]
    return dict(
        structures=len(rows),
        right=family(first["structure"]) in mine,
        first=first["structure"],
        q=float(first["q"]),
        explained=float(first["explained"]),
        margin=float(first["coarse_evidence"]) - float(first["decoys"] or "nan"),
        found=made["found"],
        alike=made["alike"],
        none=not (made["found"] or made["alike"]),
        wrong=wrong,
        share_error=error,
        cpu=cpu,
    )


@benchmark(quick=dict(structures=4))
def identify_ribosome(run, structures=99):
    """Real ribosomes of EMPIAR-10028, extracted at their labels, among those of other species and other complexes."""
    found, one = run.work("ribosome"), real("empiar10028")
    images = ("--micrographs", *one.micrographs, "--pixel-size", one.pixel_size, "--threads", 1)
    optics = ("--voltage", 300, "--spherical-aberration", 2.0)
    cryodl("estimate-ctf", *images, *optics, "--output", found / "ctf.star")
    where = ("--coordinates", one.ground_truth, "--ctf", found / "ctf.star", "--particle-diameter", one.diameter)
    cryodl("extract-particles", *images, *where, "--output", found / "particles.star")
    rows, made, cpu = ranked(run, "ribosome", found / "particles.star", (RIBOSOMES + OTHERS)[:structures])
    other = next(row for row in rows if row["structure"] not in RIBOSOMES)
    keys = ("structure", "q", "share", "explained", "evidence", "coarse_evidence", "decoys")
    return dict(count=made["count"], best={k: rows[0][k] for k in keys}, other={k: other[k] for k in keys}, cpu=cpu)
