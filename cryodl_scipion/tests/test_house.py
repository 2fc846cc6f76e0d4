# SPDX-License-Identifier: GPL-3.0-or-later
"""scripts/check_house.py tells a newcomer what she forgot, in a copy of the plugin."""

import os
import shutil
import subprocess
import sys

import pytest

import cryodl_scipion

PACKAGE = os.path.dirname(os.path.abspath(cryodl_scipion.__file__))
SCRIPT = os.path.join(os.path.dirname(PACKAGE), "scripts", "check_house.py")
INVENTED = "Cryodl" + "ProtInvent"  # in two words: this file is a test
# What she writes, and all that she writes.
WRITTEN = {
    "protocols/micrographs/protocol_invent.py": f'class {INVENTED}:\n    _label: str = "invent"\n',
    "engine/cryodl/contract/micrographs/inventing.py": "class InventConfig: pass\nclass InventOutputs: pass\n",
    "engine/tests/test_zz.py": "# zz, and zz-zz: words only\n",
    "engine/cryodl/micrographs/pickers/made_up.py": 'NETWORKS = (("picker", 6, "made_up", "MadeUp", "none", ()),)\n',
}
# What she adds to a file that is there: a command.
ROW = """

class ZzConfig(Config):
    pass


class ZzOutputs(Outputs):
    pass


COMMANDS += (Command("zz", ZzConfig, ZzOutputs, example="zz", form=False),)
"""
FORGOTTEN = [
    f"{INVENTED} is not imported in protocols/__init__.py",
    f"{INVENTED} is not listed in protocols.conf",
    f"{INVENTED} has no docstring",
    f"{INVENTED} is in no test",
    "protocols.conf: there is no protocol CryodlProtForgot",
    "InventConfig and its outputs have no row in COMMANDS",
    "zz: there is no cryodl_scipion/engine/cryodl/maps/commands/zz.py",
    'zz: neither "zz" nor ZzConfig is in a test',
    "__init__.pyi is not that of the contract",
    "pickers/made_up.py: NETWORKS names the picker made_up, and there is no class MadeUp",
]


def check(top):
    return subprocess.run([sys.executable, SCRIPT, str(top)], stdout=subprocess.PIPE, text=True)


@pytest.mark.skipif(not os.path.exists(SCRIPT), reason="the checkers are in the checkout only")
def test_each_thing_that_was_forgotten_is_named(tmp_path):
    copy = tmp_path / "cryodl_scipion"
    shutil.copytree(PACKAGE, str(copy), ignore=shutil.ignore_patterns("models", "__pycache__", "*.png"))
    done = check(tmp_path)
    assert done.returncode == 0, done.stdout
    for name, text in WRITTEN.items():
        (copy / name).write_text(text)
    with open(copy / "engine/cryodl/contract/maps/evaluating.py", "a") as file:
        file.write(ROW)
    tree = copy / "protocols.conf"
    tree.write_text(tree.read_text() + '"value": "CryodlProtForgot"\n')
    done = check(tmp_path)
    missing = done.stdout.splitlines()
    assert done.returncode == 1 and len(missing) == len(FORGOTTEN), done.stdout
    for sentence in FORGOTTEN:
        assert sum(sentence in line for line in missing) == 1, sentence
