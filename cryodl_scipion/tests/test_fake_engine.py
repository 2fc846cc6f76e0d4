# SPDX-License-Identifier: GPL-3.0-or-later
"""The fake engine returns what the contract declares, no more and no less: Result.write checks that at each call."""

import os
import unittest

from ..engine.cryodl import contract

NO_RESULT = {"doctor"}


class TestDeclaredOutputs(unittest.TestCase):
    def test_every_command_declares_its_outputs(self):
        undeclared = {name for name, command in contract.EVERY_COMMAND.items() if command.outputs is None}
        self.assertEqual(undeclared, NO_RESULT)

    def test_every_output_says_what_it_is(self):
        for command in contract.EVERY_COMMAND.values():
            for info in contract.describe_outputs(command.outputs) if command.outputs else ():
                position = f"{command.name}.{info.name}"
                self.assertRegex(info.help, r"^[A-Z0-9'a-z].*\.", position)
                self.assertIn(info.path, ("", "file", "folder"), position)
                numbers = any(word in info.name for word in ("pixel_size", "angstrom", "diameter"))
                self.assertTrue(info.unit or not numbers, f"{position} has no unit")

    def test_pictures_and_coordinates_come_with_their_pixel_size(self):
        for name in ("denoise", "reconstruct", "simulate-particles", "improve-map", "segment", "pick-features"):
            self.assertIn(
                "pixel_size", {i.name for i in contract.describe_outputs(contract.EVERY_COMMAND[name].outputs)}
            )


class TestFakeEngine(unittest.TestCase):
    def test_it_plays_every_command_that_protocols_run(self):
        with open(os.path.join(os.path.dirname(__file__), "fake_engine.py"), encoding="utf-8") as file:
            text = file.read()
        self.assertIn("result.write", text)
        self.assertNotIn("documented", text)
