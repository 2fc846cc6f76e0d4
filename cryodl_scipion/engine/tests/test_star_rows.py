# SPDX-License-Identifier: GPL-3.0-or-later
"""STAR files read row by row: the same tables as gemmi's, in little memory."""

import gzip
import subprocess
import sys

import gemmi
import numpy as np
import pytest
from synthetic import environment

from cryodl.io.files import expand_paths
from cryodl.io.star import plain_tables, read_tables, write_tables
from cryodl.io.texts import Texts


def by_gemmi(text):
    """{block: {column: list of str}} of a STAR file's text."""
    blocks = {}
    for block in gemmi.cif.read_string(text):
        table = blocks.setdefault(block.name, {})
        for item in block:
            if item.pair:
                table[item.pair[0].lstrip("_")] = [gemmi.cif.as_string(item.pair[1])]
            elif item.loop:
                for tag in item.loop.tags:
                    table[tag.lstrip("_")] = [gemmi.cif.as_string(word) for word in block.find_loop(tag)]
    return blocks


def loop(*rows):
    return "# version 30001\n\ndata_particles\n\nloop_ \n_rlnA #1\n_rlnB #2 \n" + "\n".join(rows) + "\n"


PLAIN = (
    loop("1 2", "  3\t4  ", "", "5 6"),
    loop("'a b' \"it's\"", "'' x", "a'b a#b", "'_x' '#y'"),
    loop(". ?", "'.' x.", "[0,0.1] ]"),
    "data_\n_rlnA 3 \n_rlnB  'a b'\n\ndata_x\nloop_\n_y\n1\n# end\n2\n",
)
LEFT_TO_GEMMI = (
    loop("1", "2"),
    loop("1 2 # the first"),
    loop("1", ";several", "lines", ";"),
    "data_x\n_y\n7\n",
    "data_x\nloop_ _y\n7\n",
    "data_x\nloop_\n_y\n",
)


@pytest.mark.parametrize("text", PLAIN + LEFT_TO_GEMMI)
def test_tables_are_those_that_gemmi_reads(text, tmp_path):
    path = tmp_path / "a.star"
    path.write_text(text)
    assert read_tables(path) == by_gemmi(text)
    assert (plain_tables(path) is not None) == (text in PLAIN)


OTHER_LETTERS = (
    loop("1@données/größe_Å.mrcs 2", "x 'zwei Wörter'", 'Å\'b "é"'),
    loop("1@données/größe_Å.mrcs 2 # Änderung", "Å'b 'é è'"),  # a comment in a row: gemmi's work
    loop("é 2", ";zwei", "Wörter", "; é"),
    "data_x\n_y é\n",
)


@pytest.mark.parametrize("text", OTHER_LETTERS)
def test_names_with_letters_outside_of_ascii_are_read(text, tmp_path):
    """RELION writes and reads them; gemmi does in quotes alone."""
    path = tmp_path / "é.star"
    path.write_text(text, encoding="utf-8")
    quoted = text.replace("1@données/größe_Å.mrcs", "'1@données/größe_Å.mrcs'").replace("Å'b", '"Å\'b"')
    quoted = quoted.replace("\né 2", "\n'é' 2").replace("; é", "; 'é'").replace("_y é", "_y 'é'")
    assert read_tables(path) == by_gemmi(quoted)


def test_what_is_not_utf8_is_refused_with_its_position(tmp_path):
    path = tmp_path / "a.star"
    path.write_bytes(loop("größe.mrc 2").encode("latin-1"))
    with pytest.raises(ValueError, match="byte 61 is not UTF-8"):
        read_tables(path)


@pytest.mark.parametrize("text", [loop("1 2 3"), "data_x\n_y 1\n_y 2\n", loop("1 _x"), "words\n", loop("1 'a")])
def test_what_is_no_star_file_is_refused_as_before(text, tmp_path):
    path = tmp_path / "a.star"
    path.write_text(text)
    with pytest.raises(ValueError, match="not a readable STAR file"):
        read_tables(path)


@pytest.mark.parametrize("row", [-1, 9])
def test_the_row_that_is_cut_is_named_and_not_the_head_of_its_table(row, tmp_path):
    path, rows = tmp_path / "a.star", [f"{n:06d}@a.mrcs 'm {n}.mrc' {n}" for n in range(30)]
    rows[row] = rows[row][:13]
    path.write_text(loop("1 2").rstrip() + "\n\ndata_p\n\nloop_\n_a #1\n_b #2\n_c #3\n" + "\n".join(rows))
    with pytest.raises(ValueError, match="not as many values as .*; names with spaces need quotes") as error:
        read_tables(path)
    assert f"(line {path.read_text().split(chr(10)).index(rows[row]) + 1}:" in str(error.value)


def test_a_table_of_ours_that_is_cut_short_is_damaged_and_that_of_another_program_is_read(tmp_path):
    path = tmp_path / "a.star"
    write_tables(path, {"particles": {"rlnA": [1, 2, 3], "rlnB": ["x", "y z", "u"]}})
    whole = path.read_bytes()
    for length in range(whole.index(b"loop_") + 1, len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"a.star is cut short.*Remove it and have it written again"):
            read_tables(path)
    path.write_text(loop("1 2", "3 4").rstrip())
    assert read_tables(path)["particles"]["rlnA"] == ["1", "3"]


def test_a_folder_in_place_of_a_star_file_is_named(tmp_path):
    with pytest.raises(ValueError, match="is a folder; a STAR file is needed[.]$"):
        read_tables(tmp_path)
    (tmp_path / "classes.star").touch()
    with pytest.raises(ValueError, match="is a folder; a STAR file is needed[.] It has classes.star[.]"):
        read_tables(tmp_path)


def test_a_list_of_micrographs_that_is_no_star_file_is_named(tmp_path):
    path = tmp_path / "list.star"
    path.write_bytes(b"data_\nloop_\n_rlnMicrographName\n/x/\xe9.mrc\n")
    with pytest.raises(ValueError, match="list.star cannot be read: not a readable STAR file .byte 34 is not UTF-8"):
        expand_paths([str(path)])


@pytest.mark.parametrize(
    "content, words",
    [
        (gzip.compress(b"data_\n", mtime=0), "it is gzip: unpack it"),
        (b"\xff" * 208 + b"MAP " + b"\0" * 812, "it is an image stack or map: give the STAR file"),
    ],
)
def test_a_packed_file_and_a_stack_are_named_in_place_of_a_star_file(tmp_path, content, words):
    (tmp_path / "particles").write_bytes(content)
    with pytest.raises(ValueError, match=words):
        read_tables(tmp_path / "particles")


def test_columns_of_many_and_of_few_texts_are_the_same_to_their_users():
    rng = np.random.default_rng(0)
    for words in ([f"{v:.6f}" for v in rng.random(500)], ["a", "b"] * 250, [str(i // 100) for i in range(500)]):
        found = Texts.of(words)
        assert found == words and list(found) == words and found[3] == words[3] and found[-1] == words[-1]
        assert found[5:9] == words[5:9] and found[np.array([7, 1])] == [words[7], words[1]]
        assert found != words[:-1] and "nothing" not in found
    assert np.array(Texts.of(["1", "2.5", "1"]), float).tolist() == [1, 2.5, 1]
    assert np.array(Texts.of(["a", "b"])).tolist() == ["a", "b"]
    with pytest.raises(ValueError, match="could not convert string to float: 'x'"):
        np.array(Texts.of(["1", "x"]), float)


def test_a_row_of_a_large_file_takes_few_bytes(tmp_path):
    rows = 15_000
    values = np.random.default_rng(0).random((7, rows)) * 1e4
    names = [f"rlnValue{i}" for i in range(7)]
    repeated = [i // 300 for i in range(rows)]
    images = [f"{i % 300 + 1:06d}@Extract/job003/micrograph_{m:04d}.mrcs" for i, m in enumerate(repeated)]
    particles = dict(zip(names, values), rlnImageName=images, rlnGroup=repeated, rlnClassNumber=[1] * rows)
    write_tables(tmp_path / "p.star", {"particles": particles})
    code = (
        "import resource, sys, gemmi; from cryodl.io.star import *; peak = lambda: "
        "resource.getrusage(resource.RUSAGE_SELF).ru_maxrss; start = peak(); tables = read_tables('p.star'); "
        "read = peak(); write_tables('q.star', tables); print(read - start, peak() - start)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(), cwd=tmp_path, capture_output=True, text=True, check=True
    )
    # 150 bytes a row as bytes, and the rows that are being read; as lists of texts it was 1,000
    assert max(map(int, done.stdout.split())) * 1024 < 600 * rows
    assert read_tables(tmp_path / "q.star") == read_tables(tmp_path / "p.star")
