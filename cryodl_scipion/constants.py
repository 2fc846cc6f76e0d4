# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of the plugin's variables and the version of its environment."""

CRYODL_HOME = "CRYODL_HOME"
CRYODL_PYTHON = "CRYODL_PYTHON"
CRYODL_PIP_ARGS = "CRYODL_PIP_ARGS"

# Version of the engine's environment, not of the plugin: it changes when the lock does, so that most plugin updates
# need no new environment. Its folder is software/em/cryodl-<ENV_VERSION>.
ENV_VERSION = "1.0"

INSTALL_COMMAND = "scipion installb cryodl"
