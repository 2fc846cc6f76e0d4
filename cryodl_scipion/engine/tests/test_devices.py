# SPDX-License-Identifier: GPL-3.0-or-later
"""Devices: what was asked for, or an error that says what there is."""

import os

import pytest
import torch

from cryodl.core.devices import choose_device, device_name, fast_dtype, set_threads


@pytest.fixture
def gpus(monkeypatch):
    """Sets how many GPUs torch claims to see."""

    def see(count):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)

    return see


def test_cpu_is_cpu_even_with_gpus(gpus):
    gpus(2)
    assert choose_device("cpu") == choose_device(" CPU ") == torch.device("cpu")


def test_auto_takes_the_first_gpu_or_the_cpu(gpus):
    gpus(2)
    assert choose_device("auto") == torch.device("cuda:0")
    gpus(0)
    assert choose_device("auto") == torch.device("cpu")


def test_a_gpu_by_number(gpus):
    gpus(2)
    assert choose_device("1") == choose_device("cuda:1") == torch.device("cuda:1")


@pytest.mark.parametrize("count, words", [(0, "torch"), (2, "torch finds 2 GPU")])
def test_a_gpu_that_is_absent_is_an_error_with_a_way_out(gpus, count, words):
    gpus(count)
    with pytest.raises(ValueError) as error:
        choose_device("3")
    for word in ("GPU 3 was asked for (--device 3)", words, "--device cpu", "cryodl doctor"):
        assert word in str(error.value)


@pytest.mark.parametrize("text", ["0 1", "0,1", "gpu", "", "-1", "cuda"])
def test_other_texts_say_what_is_allowed(gpus, text):
    gpus(2)
    with pytest.raises(ValueError, match="must be 'auto', 'cpu' or the number of one GPU"):
        choose_device(text)


def test_omp_num_threads_is_obeyed_where_no_number_is_asked_for(monkeypatch):
    before, usable = torch.get_num_threads(), len(os.sched_getaffinity(0))
    try:
        for stated, used in (("1", 1), ("100000", usable), ("0", usable), ("many", usable), ("", usable)):
            monkeypatch.setenv("OMP_NUM_THREADS", stated)
            assert set_threads(0) == used
        assert set_threads(2) == 2
    finally:
        torch.set_num_threads(before)


def test_threads_and_name_of_the_cpu_are_said():
    before = torch.get_num_threads()
    try:
        assert set_threads(2) == 2 == torch.get_num_threads()
        assert "CPU (2 threads" in device_name(torch.device("cpu"))
        assert set_threads(0) >= 1
    finally:
        torch.set_num_threads(before)


def test_the_fast_type_of_the_cpu_depends_on_its_hardware(monkeypatch):
    for native, kind in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr("cryodl.core.devices.cpu_has_bfloat16", lambda: native)
        assert fast_dtype(torch.device("cpu")) is kind


def test_the_fast_type_of_a_gpu_is_what_it_multiplies_itself(monkeypatch):
    """An emulated bfloat16 (GPUs before Ampere) would be slower than float32; the GPU that computes is asked."""
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: {0: (9, 0), 1: (7, 5)}[device.index])
    assert fast_dtype(torch.device("cuda:0")) is torch.bfloat16
    assert fast_dtype(torch.device("cuda:1")) is torch.float32
