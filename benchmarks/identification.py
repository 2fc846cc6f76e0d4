# SPDX-License-Identifier: GPL-3.0-or-later
"""Which molecule particles show: those of another generator, and real ribosomes, against a folder of structures."""

import csv
from itertools import compress

from bench import CPU, benchmark, cryodl, flags, groups, real, recorded, structure_file
from recipes.other_particles import make_set

from cryodl.io.star import read_tables, write_tables

# Structures of one molecule: to name one of them is right, and where it is to be absent, all of them are left out.
FAMILIES = (
    *(("1OEL", "1AON"), ("3C91", "3J9I"), ("6VXX", "6ZWV"), ("9BE6", "1KX5", "5O9G", "5X0Y", "4R8P")),
    *(("4V4R_30S", "2YKR_30S"), ("1TUB", "3J8X", "3JAT", "5IYZ", "5KMG", "6B0I", "6CVN"), ("1IHM", "6OUT")),
    *(("1IGT", "1IGY"), ("1NCB", "3CYE"), ("3SN6", "8WG7"), ("1BXN",), ("1EXB",), ("1F2N",), ("3J6R",), ("3O21",)),
    *(("3WIP",), ("4UPY",), ("4ZXB",), ("5H64",), ("5TPN",), ("6MSM",), ("7CTH",), ("7DDO",), ("1A4L",), ("1FDO",)),
    *(("1MDA",), ("2CAS",), ("2XHE",), ("3BEP",), ("3ENL",), ("5H73",), ("6EHB",)),
    *(("8TSO", "8TSQ"), ("6RN3", "1QVR"), ("8BK7",), ("1WCM",), ("8UV2",), ("7QPD",), ("6MMM",), ("5GJV",), ("1U6G",)),
    *(("2CG9",), ("3IYD",), ("3G61",), ("6O1M",), ("7PBL",), ("9N5J",), ("9JMB",), ("3D2F",)),
)
QUERIES = (
    *("8BK7", "6VXX", "9BE6", "1WCM", "8TSO", "8UV2", "3C91", "7QPD", "1OEL", "4V4R_30S", "6RN3", "5GJV", "1U6G"),
    *("6MMM", "2CG9", "3IYD", "9N5J", "6O1M", "3G61", "7PBL", "9JMB", "3D2F", "5O9G", "8TSQ"),
)
MIXTURES = (  # in equal parts: the first holds two to one
    *(("8BK7", "8BK7", "1WCM"), ("6VXX", "8UV2"), ("2CG9", "3C91"), ("7QPD", "1U6G"), ("5GJV", "3IYD")),
    *(("1OEL", "9JMB"), ("6O1M", "3G61", "8TSO"), ("5O9G", "2CG9", "2CG9", "2CG9")),
)
RIBOSOMES = ("SIM_4V4R_70S_5A", "SIM_5MRC_10A", "SIM_4V4R_50S_10A", "2YKR_30S", "4V4R_30S")
OTHERS = ("8BK7", "6VXX", "1WCM", "8UV2", "1OEL", "3C91", "5GJV", "SIM_4V94_10A", "SIM_4CR2_10A", "5H64")


def family(name):
    return next((one for one in FAMILIES if name in one), (name,))


def cases():
    kinds = [("present", name) for name in QUERIES] + [("mixture", "+".join(names)) for names in MIXTURES]
    absent = [("absent", name) for name in QUERIES]
    mixed = [one for pair in zip(kinds[: len(absent)], absent) for one in pair]
    return [dict(kind=kind, query=query) for kind, query in mixed + kinds[len(absent) :]]


def ranked(run, key, particles, names, *files):
    """Rows of ranking.csv, outputs and CPU seconds of `cryodl identify` with structures of these names, and files."""
    listed, folder = run.work(f"list {key}") / "structures.txt", run.folder(f"out {key}")
    listed.write_text("\n".join(map(str, [*map(structure_file, names), *files])))
    made, _, cost = recorded("identify", folder, "--particles", particles, "--structures", listed, *CPU)
    with open(folder / "ranking.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file)), made, cost[1]


of_kinds = lambda rows, key: {k: p for k in ("present", "absent", "mixture") if (p := [r for r in rows if r[key] == k])}
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
    names, seed = query.split("+"), 100 + sum(map(ord, query))
    files, mine = [structure_file(name) for name in names], set(map(family, names))
    made = run.kept(
        f"{query}-{count}-{snr:g}", lambda path: make_set(path, files, count // len(names), {}, snr, seed=seed)
    )
    own, others = ([n for one in FAMILIES if (one in mine) == there for n in one] for there in (True, False))
    rows, made, cpu = ranked(
        run, f"{kind} {query}", made / "particles.star", sorted(others[:folder] + own * (kind != "absent"))
    )
    share = lambda name: sum(float(row["share"] or 0) for row in rows if family(row["structure"]) == family(name))
    return dict(
        structures=len(rows),
        right=family(rows[0]["structure"]) in mine,
        first=rows[0]["structure"],
        q=float(rows[0]["q"]),
        explained=float(rows[0]["explained"]),
        margin=float(rows[0]["coarse_evidence"]) - float(rows[0]["decoys"] or "nan"),
        found=made["found"],
        alike=made["alike"],
        none=not (made["found"] or made["alike"]),
        wrong=[name for name in made["found"] if kind == "absent" or family(name) not in mine],
        share_error=max(100 * abs(share(name) - names.count(name) / len(names)) for name in names),
        cpu=cpu,
    )


@benchmark(cases={"own": (False, True)}, quick=dict(structures=4))
def identify_ribosome(run, own, structures=99):
    """Real ribosomes of EMPIAR-10028, extracted at their labels, among those of other species and other complexes; own:
    half of them, with a first map from the other half in the folder as well."""
    found, one = run.work("ribosome"), real("empiar10028")
    images = ("--micrographs", *one.micrographs, "--pixel-size", one.pixel_size, "--threads", 1)
    ctf, particles, maps, size = found / "ctf.star", found / "particles.star", [], flags(particle_diameter=one.diameter)
    cryodl("estimate-ctf", *images, *flags(voltage=300, spherical_aberration=2.0, output=ctf))
    cryodl("extract-particles", *images, *flags(ctf=ctf, coordinates=one.ground_truth), *size, "--output", particles)
    if own:
        cryodl("initial-map", "--particles", particles, "--output", found / "first", *CPU)
        tables = read_tables(found / "first" / "particles.star")
        rows, second = tables["particles"], [half == "2" for half in tables["particles"]["rlnRandomSubset"]]
        particles, maps = found / "second.star", [found / "first" / "map_half1.mrc"]
        write_tables(particles, dict(tables, particles={k: list(compress(v, second)) for k, v in rows.items()}))
    rows, made, cpu = ranked(run, "ribosome", particles, (RIBOSOMES + OTHERS)[:structures], *maps)
    of = lambda row: {k: row[k] for k in ("structure", "q", "share", "explained", "evidence", "coarse_evidence")}
    return dict(
        count=made["count"],
        found=made["found"],
        best=of(rows[0]),
        other=of(next(row for row in rows if row["structure"] in OTHERS)),
        cpu=cpu,
    )
