# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs that go on with what is finished remember their settings, so that nothing of other ones is mixed in."""

import json
import os
from typing import Any, List

from ..engine.cryodl import contract
from .inputs import ProtocolMixin


class StoredSettings(ProtocolMixin):
    """What protocols share whose finished micrographs (or other items) are left alone when a run is continued.

    A child gives _settings(), a dict of all that decides what is made of an item, _ITEM, what an item is, and _MADE,
    what has been done to it: 'picked'. It calls _storeSettings() when it starts, and _checkContinuation() before.
    """

    _CONFIG: Any
    _MADE: Any = None
    _ITEM = "micrograph"

    def _settingsFile(self) -> str:
        return self._getExtraPath("settings.json")

    def _storeSettings(self) -> None:
        with open(self._settingsFile(), "w", encoding="utf-8") as file:
            json.dump(self._settings(), file, indent=2)

    def _changedSettings(self) -> List[str]:
        """Names of settings that differ from those with which this run started before; empty if it did not."""
        if not os.path.exists(self._settingsFile()):
            return []
        with open(self._settingsFile(), encoding="utf-8") as file:
            before = json.load(file)
        fields = contract.describe_all(self._CONFIG) if getattr(self, "_CONFIG", None) else []
        if fields:
            before, _ = contract.present_options(contract.command_name(self._CONFIG), before)
        now = json.loads(json.dumps(self._settings()))
        # what an earlier version did not write down had its default, or was no setting
        defaults = {info.name: info.default for info in fields if not info.required}
        return sorted(
            name.replace("_", " ") for name in now if now[name] != before.get(name, defaults.get(name, now[name]))
        )

    def _checkContinuation(self) -> List[str]:
        """A sentence in a list if this run is continued with other settings."""
        changed = self._changedSettings() if self.isContinued() else []
        return (
            [
                f"This run has already {self._MADE} {self._ITEM}s with another {', '.join(changed)}; continuing "
                "would mix the settings. Choose the run mode Restart, or copy the protocol."
            ]
            if changed
            else []
        )
