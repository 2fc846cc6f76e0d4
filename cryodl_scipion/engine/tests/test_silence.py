# SPDX-License-Identifier: GPL-3.0-or-later
"""A command that works without printing says so in its log."""

import io
import sys
import time

from cryodl.io.messages import doing, for_a_person, no_long_silence


def test_a_silent_command_gets_lines_that_say_what_it_is_at(capsys):
    with no_long_silence(0.6):
        print("begun")
        doing("step 3 of 9")
        time.sleep(2.5)
        print("done")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "begun" and lines[-1] == "done" and len(lines) > 3
    assert all(line.startswith("  ... at work for ") and line.endswith("step 3 of 9") for line in lines[1:-1])
    seconds = [int(line.split()[4]) for line in lines[1:-1]]
    assert seconds == sorted(seconds) and seconds[-1] > seconds[0]  # since "begun", not since its own last line


def test_nothing_is_said_while_the_command_waits_for_a_person(capsys):
    with no_long_silence(0.4):
        with for_a_person():
            time.sleep(4)
        assert capsys.readouterr() == ("", "")
        time.sleep(1.6)
    seconds = [int(line.split()[4]) for line in capsys.readouterr().out.splitlines()]
    assert seconds and max(seconds) < 4  # since the person was ready


def test_json_for_a_program_stays_json(capsys):
    with no_long_silence(0.3, json=True):
        time.sleep(1.3)
        print("{}")
    said = capsys.readouterr()
    assert said.out == "{}\n" and "at work for" in said.err


def test_a_command_that_prints_is_left_alone(capsys):
    with no_long_silence(5.0):
        for _ in range(8):
            print("line", file=sys.stderr)
            time.sleep(0.2)
    assert capsys.readouterr() == ("", "line\n" * 8)


def test_nothing_is_added_on_a_terminal(monkeypatch, capsys):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stderr", Terminal())
    with no_long_silence(0.1):
        time.sleep(0.8)
    assert capsys.readouterr().out == "" and sys.stderr.getvalue() == ""
