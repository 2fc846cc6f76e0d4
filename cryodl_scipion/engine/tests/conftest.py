# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures that several files share."""

import pytest
from synthetic import blob_project, write_untrained_model


@pytest.fixture
def project(tmp_path):
    """A folder with two labelled micrographs and a model of random weights, which fires at noise."""
    blob_project(tmp_path)
    write_untrained_model(tmp_path / "model")
    return tmp_path
