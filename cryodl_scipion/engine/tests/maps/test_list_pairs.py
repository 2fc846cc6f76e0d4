# SPDX-License-Identifier: GPL-3.0-or-later
"""A user's list of ids becomes addresses and a table of pairs."""

import csv
import gzip

import pytest
from map_data import empty_grid, helix

from cryodl.contract import ListPairsConfig
from cryodl.maps.commands import list_pairs
from cryodl.maps.improvers.pairs import read_pairs
from cryodl.maps.measures.atoms import model_density, read_atoms
from cryodl.maps.measures.volume import read_volume, write_volume

EMDB_TABLE = """emdb_id,title,resolution,fitted_pdbs
EMD-30342,"A, with a comma",3.9,7cec
emd_0393,Another,4.4,"6NBB,6nbc"
EMD-11075,Tomogram,,
EMD-5185,Coarse,9.1,3iyf
EMD-30342,Again,3.9,7CEC
"""


def listed(tmp_path, text, **values):
    (tmp_path / "ids.csv").write_text(text, encoding="utf-8")
    return list_pairs.list_pairs(
        ListPairsConfig(**dict(dict(ids=str(tmp_path / "ids.csv"), output=str(tmp_path / "out")), **values))
    )


def test_addresses_and_pairs_of_emdbs_own_table(tmp_path):
    result = listed(tmp_path, EMDB_TABLE)
    assert (tmp_path / "out" / "addresses.txt").read_text().splitlines() == [
        "https://ftp.ebi.ac.uk/pub/databases/emdb/structures/EMD-30342/map/emd_30342.map.gz",
        "https://files.rcsb.org/download/7cec.cif.gz",
        "https://ftp.ebi.ac.uk/pub/databases/emdb/structures/EMD-0393/map/emd_0393.map.gz",
        "https://files.rcsb.org/download/6nbb.cif.gz",
    ]
    with open(result.outputs["pairs"], newline="") as file:
        assert list(csv.reader(file)) == [
            ["map", "structure", "resolution"],
            ["emd_30342.map.gz", "7cec.cif.gz", "3.9"],
            ["emd_0393.map.gz", "6nbb.cif.gz", "4.4"],
        ]
    assert (result.outputs["count"], result.outputs["excluded"]) == (2, 1)
    words = " ".join(result.warnings)
    for word in (
        "line 3: EMD-0393 has 2 models; 6nbb",
        "line 4: EMD-11075 has no model",
        "line 6: EMD-30342 with 7cec",
    ):
        assert word in words


def test_one_file_is_downloaded_once_however_many_pairs_it_is_in(tmp_path):
    result = listed(tmp_path, "emdb_id,pdb_id,resolution\n1234,1abc,4\n1234,1abd,4\n5678,1abc,4\n")
    assert len((tmp_path / "out" / "addresses.txt").read_text().splitlines()) == 4
    assert (result.outputs["count"], result.outputs["maps"], result.outputs["models"]) == (3, 2, 2)


def test_resolutions_are_chosen_with_their_limits(tmp_path):
    text = "emdb_id,pdb_id,resolution\n1111,1aaa,3\n2222,2aaa,6\n3333,3aaa,2.99\n4444,4aaa,6.01\n"
    assert listed(tmp_path, text).outputs["count"] == 2
    with pytest.raises(ValueError, match="none of them with a resolution of 7 to 8 Å"):
        listed(tmp_path, text, output=str(tmp_path / "other"), resolution_min=7.0, resolution_max=8.0)
    assert not (tmp_path / "other").exists()


def test_lines_that_are_wrong_are_all_named(tmp_path):
    with pytest.raises(ValueError) as error:
        listed(
            tmp_path, "pdb_id,emdb_id,resolution\n1abc,EMD-12,4\nribosome,EMD-1234,4\n1abc,EMD-1234,good\n1abc,1234,4\n"
        )
    for words in (
        "line 2: 'EMD-12' is not an EMDB id",
        "line 3: 'ribosome' is not a PDB id",
        "line 4: 'good' is not a resolution in Å",
    ):
        assert words in str(error.value)
    assert "line 5" not in str(error.value)


@pytest.mark.parametrize(
    "text, words",
    [
        ("", "It reads: nothing"),
        ("emdb_id;pdb_id;resolution\n1234;1abc;4\n", "no column emdb_id, pdb_id, resolution"),
        ("emdb_id,resolution\n1234,4\n", "no column pdb_id"),
    ],
)
def test_missing_columns_are_named(tmp_path, text, words):
    with pytest.raises(ValueError, match=words):
        listed(tmp_path, text)


def test_a_folder_that_is_there_is_not_written_into_and_limits_must_be_in_order(tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(FileExistsError, match="exists already"):
        listed(tmp_path, EMDB_TABLE)
    assert "--resolution-max" in ListPairsConfig("ids.csv", "out", 6.0, 3.0).check_together()[0]


def test_training_reads_the_table_with_the_files_as_they_are_downloaded(tmp_path):
    folder = tmp_path / "out"
    pairs = listed(tmp_path, "emdb_id,pdb_id,resolution\nEMD-1234,1abc,4\n").outputs["pairs"]
    import gemmi

    structure = gemmi.read_structure(str(helix(tmp_path / "helix.pdb")))
    atoms, grid = read_atoms(tmp_path / "helix.pdb"), empty_grid()
    write_volume(tmp_path / "map.mrc", model_density(atoms, grid, 1.0), grid)
    (folder / "emd_1234.map.gz").write_bytes(gzip.compress((tmp_path / "map.mrc").read_bytes()))
    (folder / "1abc.cif.gz").write_bytes(gzip.compress(structure.make_mmcif_document().as_string().encode()))
    (row,) = read_pairs(pairs)
    assert read_volume(row["map"]).data.shape == grid.data.shape
    assert len(read_atoms(row["structure"])) == len(atoms) and row["resolution"] == 4.0
