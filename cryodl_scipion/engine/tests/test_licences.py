# SPDX-License-Identifier: GPL-3.0-or-later
"""Every package of the lock is listed with its licence, and each licence allows it in a program under GPL 3."""

import re
import sysconfig
from importlib.metadata import distributions

import pytest
from synthetic import ENGINE

INSTALL = ENGINE.parent / "install"
pytestmark = pytest.mark.skipif(not INSTALL.exists(), reason="an engine without its checkout")
# https://www.gnu.org/licenses/license-list.html#GPLCompatibleLicenses
COMPATIBLE = (
    "MIT|BSD|0BSD|Apache|PSF|Python Software Foundation|MPL|Mozilla Public License 2.0|Zlib|CC0|BSL|HPND|LGPL|ISC"
)


def listed(name):
    """{package==version: what follows} in a file of the folder."""
    rows = re.findall(r"^([\w.-]+==[\w.]+)(?:: (.*))?$", (INSTALL / name).read_text(), re.M)
    assert rows
    return dict(rows)


def test_every_locked_package_has_its_checksums_and_its_licence():
    locked = set(listed("requirements.lock"))
    assert set(listed("requirements.licences")) == locked
    hashes = (INSTALL / "requirements.hashes").read_text()
    torch = {package for package in locked if package.startswith("torch==")}
    assert set(re.findall(r"^(\S+==\S+) \\\n    --hash=sha256:[0-9a-f]{64}", hashes, re.M)) == locked - torch


def test_every_licence_is_compatible_with_the_programs_own():
    for package, licence in listed("requirements.licences").items():
        for part in re.split(r" AND | OR | WITH ", licence):
            assert re.match(f"(The )?({COMPATIBLE}|LLVM-exception)", part.strip("() ")), (package, part)


def test_what_is_installed_is_what_is_locked():
    # in the environment itself: pytest lies beside it, with packages of its own
    places = [sysconfig.get_path("purelib")]
    installed = {re.sub(r"[-_.]+", "-", d.metadata["Name"]).lower(): d.version for d in distributions(path=places)}
    wanted = dict(package.split("==") for package in listed("requirements.lock"))
    found = {name: installed.get(name, "not installed").split("+")[0] for name in wanted}
    assert found == wanted
