# SPDX-License-Identifier: GPL-3.0-or-later
"""A set whose run died is not taken for whole by a run that works on it while it arrives."""

import os
import shutil
from unittest import mock

import pytest
from pwem.objects import Coordinate, CTFModel, Micrograph, SetOfCoordinates, SetOfCTF, SetOfMicrographs
from pyworkflow.object import Set

from ..convert.arriving import (
    ALIVE,
    STOPPED,
    Arriving,
    ArrivingMicrographs,
    MicrographsOfSets,
    MicrographsWithOthers,
    PickedMicrographs,
    StreamEnd,
    failedRun,
    stateOfRun,
)
from ..protocols import CryodlProtPick
from ..protocols.batches import LOOK, ArrivingBatches
from ..protocols.micrographs.protocol_pick import LEARNS, NETWORK, TEMPLATES
from .run_states import deadProcess, writeRunState


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Folder of run 5 in a project; its status is set with setStatus."""
    monkeypatch.chdir(tmp_path)
    folder = "Runs/000005_ProtImportMicrographs"
    writeRunState(f"{folder}/logs/run.db", 2, "finished")  # an input's run stands there too
    return folder


def setStatus(run, status, pid=0):
    writeRunState(f"{run}/logs/run.db", 5, status, pid)


def micrographs(run, count, closed):
    """The run's output with so many micrographs, as the run writes it."""
    path = f"{run}/micrographs.sqlite"
    if os.path.exists(path):
        os.remove(path)
    found = SetOfMicrographs(filename=path)
    found.setSamplingRate(2.0)
    found.setStreamState(Set.STREAM_CLOSED if closed else Set.STREAM_OPEN)
    for number in range(1, count + 1):
        item = Micrograph(location=f"m{number}.mrc")
        item.setMicName(f"m{number}")
        found.append(item)
    found.write()
    found.close()
    return found


@pytest.mark.parametrize(
    "status, dead, state",
    [
        ("finished", False, None),
        ("aborted", False, None),
        ("saved", False, None),
        ("running", False, ALIVE),
        ("scheduled", False, ALIVE),
        ("running", True, STOPPED),
        ("failed", False, STOPPED),
    ],
)
def test_the_state_of_a_run_is_that_of_its_database_and_its_process(run, status, dead, state):
    setStatus(run, status, deadProcess() if dead else os.getpid())
    assert stateOfRun(f"{run}/micrographs.sqlite") == state


def test_a_run_in_a_queue_has_no_process_here(run):
    setStatus(run, "running", 0)
    assert stateOfRun(f"{run}/micrographs.sqlite") == ALIVE


def test_a_run_is_known_in_a_folder_of_any_name(run, tmp_path, monkeypatch):
    setStatus(run, "failed", 0)
    shutil.copytree("Runs", tmp_path / "a#1 50%41" / "Runs")
    monkeypatch.chdir(tmp_path / "a#1 50%41")
    assert stateOfRun(f"{run}/micrographs.sqlite") == STOPPED


def test_sets_outside_of_runs_and_runs_without_a_database_have_ended(tmp_path):
    assert stateOfRun(str(tmp_path / "micrographs.sqlite")) is None
    assert stateOfRun("Runs/000007_Gone/micrographs.sqlite") is None


def test_a_run_that_dies_while_its_output_is_worked_on_is_waited_for(run, capsys):
    setStatus(run, "running", os.getpid())
    arriving = ArrivingMicrographs(micrographs(run, 2, closed=False), None)
    arriving.update()
    assert not arriving.closed
    setStatus(run, "running", deadProcess())
    micrographs(run, 2, closed=True)  # pyworkflow closes the output of a run that died
    for _ in range(2):
        arriving.update()
        assert not arriving.closed
    assert capsys.readouterr().out.count("stopped before it finished") == 1
    setStatus(run, "running", os.getpid())  # continued: still closed in the file until the first output
    arriving.update()
    assert not arriving.closed
    setStatus(run, "finished")
    micrographs(run, 3, closed=True)
    arriving.update()
    assert arriving.closed and len(arriving.ready(set())) == 3


def test_what_came_before_an_input_s_run_failed_is_worked_on(run):
    """A run ended at once, with micrographs before it that nobody had to mend."""
    setStatus(run, "running", os.getpid())
    arriving = ArrivingMicrographs(micrographs(run, 1, closed=False), None)
    assert not arriving.look() and arriving.ready(set()) == ["m1"]
    writeRunState(f"{run}/logs/run.db", 5, "failed", error="No GPU.", label="my import")
    micrographs(run, 3, closed=True)
    assert arriving.look() and arriving.ready({"m1"}) == ["m2", "m3"]
    assert "because the run 'my import' failed" in str(arriving.failure)
    batches, worked = mock.MagicMock(_arriving=arriving), []
    batches._doneNames.return_value = batches._begun.return_value = []
    batches._partsOf.side_effect = lambda ready, all: [ready] if ready and all else []
    batches._insertFunctionStep.side_effect = lambda step, names=(), **_: worked.extend(names)
    batches.getAttributeValue.return_value = 0
    batches._argumentOf.side_effect, batches._firstLearns.return_value = list, False
    with mock.patch("cryodl_scipion.protocols.batches.contract.write_json"):
        batches._getExtraPath.return_value = "extra"
        ArrivingBatches._insertBatches(batches, None, "outputStep")
    assert worked == ["m1", "m2", "m3"]
    with pytest.raises(ValueError, match="because the run 'my import' failed"):
        ArrivingBatches.closeStep(batches)
    setStatus(run, "running", os.getpid())  # it was continued
    assert not arriving.look() and arriving.failure is None


@pytest.mark.parametrize("method", [TEMPLATES, LEARNS])
def test_templates_and_learning_work_on_what_came_before_an_input_s_run_failed(tmp_path, method):
    """They wait for all micrographs, or for those that teach, and did nothing."""
    run, came = mock.MagicMock(_arriving=Arriving()), ["a", "b", "c"]
    run._arriving.failure = ValueError("the run 'my import' failed")
    run.method.get.return_value, run._firstNames.return_value = method, []
    run.trainingMicrographs.get.return_value, run._learningWaits.over.return_value = 10, False
    run._firstFile.return_value = str(tmp_path / "first.json")
    assert CryodlProtPick._partsOf(run, came, True) == [came]


@pytest.mark.parametrize(
    "method, general, waits",
    [(NETWORK, True, True), (NETWORK, False, False), (TEMPLATES, True, False), (LEARNS, 0, True)],
)
def test_batches_wait_for_what_the_first_one_estimates_for_all(method, general, waits):
    """Else the number of picks depends on which of two that run side by side is the first to end its estimate."""
    run = mock.MagicMock()
    run.method.get.return_value, run._learns.return_value = method, method == LEARNS
    run._modelCard.return_value = dict(general=general)
    assert CryodlProtPick._firstLearns(run) is waits


@pytest.mark.parametrize("kind", [MicrographsWithOthers, MicrographsOfSets, PickedMicrographs])
def test_what_came_on_another_input_than_that_of_the_failed_run_is_worked_on(run, kind):
    """Averages of frames, picks or CTFs are looked at first: what had come with them was left."""

    def inputs(count, closed):
        whole, other = micrographs("Runs/000009_other", count, closed=True), micrographs(run, count, closed=closed)
        found = SetOfCTF if kind is PickedMicrographs else SetOfCoordinates
        path = f"{run}/others.sqlite"
        if os.path.exists(path):
            os.remove(path)
        others = found(filename=path)
        for number in range(1, count + 1):
            item = CTFModel() if found is SetOfCTF else Coordinate(x=1, y=1)
            micrograph = next(m.clone() for m in whole.iterItems(where=f"id={number}"))
            item.setMicrograph(micrograph)
            others.append(item)
        others.setMicrographs(whole)
        others.setStreamState(Set.STREAM_CLOSED if closed else Set.STREAM_OPEN)
        others.write()
        others.close()
        return whole, other, others

    os.makedirs("Runs/000009_other")
    setStatus(run, "running", os.getpid())
    whole, other, others = inputs(1, closed=False)
    given = {MicrographsWithOthers: (whole, other), MicrographsOfSets: ([others],)}
    picks = SetOfCoordinates(filename="Runs/000009_other/picks.sqlite")
    picks.setMicrographs(whole)
    for number in (1, 2, 3):
        picks.append(Coordinate(x=1, y=1, micId=number))
    picks.write()
    arriving = kind(*given.get(kind, (whole, picks, others)))
    assert not arriving.look() and arriving.ready(set()) == ["m1"]
    writeRunState(f"{run}/logs/run.db", 5, "failed", error="No GPU.", label="my import")
    inputs(3, closed=True)
    assert arriving.look() and not arriving.closed and "my import" in str(arriving.failure)
    assert arriving.ready({"m1"}) == ["m2", "m3"]


def test_the_failure_of_one_input_counts_once_the_others_have_ended(run):
    """Particles of micrographs that were still being picked when their import failed were not cut out."""
    other, work = "Runs/000009_other", dict(number=9, pid=os.getpid())
    setStatus(run, "running", os.getpid())
    writeRunState(f"{other}/logs/run.db", status="running", **work)
    source, picks = micrographs(run, 2, closed=False), SetOfCoordinates(filename=f"{other}/picks.sqlite")
    picks.setMicrographs(source)

    def pick(number, state):
        item = Coordinate(x=1, y=1)
        item.setMicId(number)
        picks.append(item)
        picks.setStreamState(state)
        picks.write()

    pick(1, Set.STREAM_OPEN)
    arriving = ArrivingMicrographs(source, picks)
    assert not arriving.look() and arriving.ready(set()) == ["m1"]
    writeRunState(f"{run}/logs/run.db", 5, "failed", error="No GPU.", label="my import")
    micrographs(run, 2, closed=True)
    assert not arriving.look() and arriving.failure is None
    pick(2, Set.STREAM_CLOSED)
    writeRunState(f"{other}/logs/run.db", status="finished", **work)
    assert arriving.look() and arriving.ready({"m1"}) == ["m2"] and "my import" in str(arriving.failure)
    assert len(arriving.coordinatesOn(arriving.items(["m2"]))["m2"]) == 1, "its step must not fail for the same reason"


def test_what_a_dead_run_left_is_taken_by_a_run_that_is_started_on_it(run):
    setStatus(run, "failed")
    arriving = ArrivingMicrographs(micrographs(run, 2, closed=True), None)
    arriving.update()
    assert arriving.closed


def test_a_run_that_died_is_waited_for_also_where_nobody_has_closed_its_set(run, capsys):
    setStatus(run, "running", deadProcess())
    end = StreamEnd()
    assert not end.of(micrographs(run, 2, closed=False))
    assert "stopped before it finished" in capsys.readouterr().out


def test_the_wait_for_a_run_that_is_not_continued_ends_with_a_sentence(run):
    end = StreamEnd(longest=0)
    setStatus(run, "running", os.getpid())
    assert not end.of(micrographs(run, 2, closed=False))
    setStatus(run, "failed")
    assert not end.of(micrographs(run, 2, closed=True))
    with pytest.raises(ValueError, match="Continue it, then this run"):
        end.of(micrographs(run, 2, closed=True))
    setStatus(run, "running", os.getpid())  # continued after all
    assert not end.of(micrographs(run, 2, closed=True))


def test_a_run_whose_input_s_run_fails_ends_at_once_and_names_the_first_of_a_chain(run):
    """It was waited for 12 hours, though nobody can continue it without mending something."""
    end, following = StreamEnd(), StreamEnd()
    setStatus(run, "running", os.getpid())
    assert not end.of(micrographs(run, 2, closed=False))
    writeRunState(f"{run}/logs/run.db", 5, "failed", error="No GPU.", label="my import")
    with pytest.raises(ValueError, match="no more can come, because the run 'my import' failed. Continue it") as said:
        end.of(micrographs(run, 2, closed=True))
    assert "No GPU" not in str(said.value)  # that run says why
    after = "Runs/000009_CryodlProtPick"
    writeRunState(f"{after}/logs/run.db", 9, "running", os.getpid())
    assert not following.of(micrographs(after, 2, closed=False))
    writeRunState(f"{after}/logs/run.db", 9, "failed", error=str(said.value), label="my picks")
    with pytest.raises(ValueError, match="Runs/000009.*because the run 'my import' failed. Continue it"):
        following.of(micrographs(after, 2, closed=True))


@pytest.mark.parametrize(
    "error",
    [
        "cryodl pick stopped by signal 9 without a result. Run `cryodl doctor`",
        "cryodl pick stopped in the queue without a result.",
        "Command 'relion' died with <Signals.SIGKILL: 9>.",
        "Command 'relion' returned non-zero exit status 137.",
        "Process 77 not found running on the machine.",
    ],
)
def test_a_run_whose_program_was_killed_is_waited_for(run, error):
    end = StreamEnd()
    setStatus(run, "running", os.getpid())
    assert not end.of(micrographs(run, 2, closed=False))
    writeRunState(f"{run}/logs/run.db", 5, "failed", error=error)
    assert not end.of(micrographs(run, 2, closed=True))


def test_a_run_that_is_called_like_a_signal_is_no_program_that_was_killed(run):
    """Whatever works on what it makes waited 12 hours."""
    for name in ("SIGNAL", "signal 2", "Tom's SIGMA"):
        error = f"Micrographs: the run '{name}' has no output outputMicrographs, though it has finished."
        writeRunState(f"{run}/logs/run.db", 5, "failed", error=error, label="picks")
        assert failedRun(f"{run}/micrographs.sqlite") == "picks"


@pytest.mark.parametrize("field, rests", [(0, LOOK), (10, 0.0)])
def test_a_run_that_waits_for_more_rests_between_two_looks(tmp_path, field, rests):
    """Scipion's field may be 0: without a pause a waiting run would keep a core busy."""
    run = mock.MagicMock()
    run._getExtraPath.return_value = str(tmp_path / "extra")
    run._doneNames.return_value, run._begun.return_value, run._partsOf.return_value = [], [], []
    run.getAttributeValue.side_effect = lambda name, otherwise=None: field if name == "streamingSleepOnWait" else 0
    run._arriving.ready.return_value = []
    run._arriving.look.side_effect = [False, False, False, True]
    with mock.patch("cryodl_scipion.protocols.batches.time.sleep") as sleep:
        ArrivingBatches._insertBatches(run, None, None)
    assert [call.args for call in sleep.call_args_list] == [(rests,)] * 2 and run._streamingSleepOnWait.call_count == 2
