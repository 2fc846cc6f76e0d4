# SPDX-License-Identifier: GPL-3.0-or-later
"""The contract: readable by any Python from 3.8, exact on both sides, and strict."""

import ast
import dataclasses
import json
import subprocess
import sys
import typing

import pytest
from synthetic import ENGINE

from cryodl import contract
from cryodl.contract import (
    EVERY_COMMAND,
    Config,
    EvaluatePicksConfig,
    Failure,
    PickConfig,
    Request,
    Result,
    SimulateMicrographsConfig,
    Skipped,
    TrainPickerConfig,
    check,
    config_from_dict,
    config_to_dict,
    describe,
    describe_all,
    param,
)

PICK = dict(micrographs=("a.mrc",), pixel_size=1.5, model="m", output="out")
TRAIN = dict(micrographs=("a.mrc",), coordinates="picks", pixel_size=1.5, particle_diameter=150.0, output="m")
EVALUATE = dict(coordinates="a", reference="b", pixel_size=1.5, particle_diameter=150.0)
SIMULATE = dict(structure="a.pdb", pixel_size=1.5, count=1, output="out")


@pytest.mark.parametrize("package", ["cryodl.contract", "cryodl.running.cli"])
def test_imports_with_the_standard_library_alone(package):
    code = f"import sys; sys.path.insert(0, {str(ENGINE)!r}); import {package}; print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "torch" not in done.stdout and "numpy" not in done.stdout


@pytest.mark.parametrize(
    "path",
    sorted((ENGINE / "cryodl" / "contract").rglob("*.py")) + [ENGINE / "cryodl/__init__.py"],
    ids=lambda p: p.name,
)
def test_is_valid_python_3_8(path):
    tree = ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 8))
    # builtin generics parse in 3.8 but fail when they are evaluated
    subscripted = {n.value.id for n in ast.walk(tree) if isinstance(n, ast.Subscript) and isinstance(n.value, ast.Name)}
    assert not subscripted & {"list", "dict", "tuple", "set", "type"}


def test_networks_of_the_contract_are_those_of_the_registry():
    from cryodl.micrographs.pickers import picker_method

    for name in contract.PICKER_NETWORKS:
        assert picker_method(name).name == name
    with pytest.raises(ValueError) as error:
        picker_method("no such network")
    assert str(error.value).split("choose one of: ")[1].rstrip(".").split(", ") == list(contract.PICKER_NETWORKS)


def test_order_of_choices_is_frozen():
    """Saved Scipion workflows hold positions in these lists: append, never insert."""
    choices = {
        f"{c.__name__}.{i.name}": i.choices
        for c in (command.config for command in EVERY_COMMAND.values())
        for i in describe_all(c)
        if i.choices
    }
    contrast = ("auto", "dark", "bright")
    frozen = {
        "TrainPickerConfig.network": ("unet", "deeppicker", "deepem", "cryolo", "topaz", "eman2"),
        "TrainPickerConfig.labels": ("auto", "complete", "boxes", "sparse"),
        "TrainPickerConfig.pu_criterion": ("ge-binomial", "nnpu"),
        "TrainPickerConfig.contrast": contrast,
        "PickConfig.threshold_rule": ("model", "f1", "count"),
        "PickConfig.contrast": contrast,
        "PickConfig.avoid": ("nothing", "contamination", "contamination and carbon"),
        "AutoPickConfig.contrast": contrast,
        "PickFilamentsConfig.contrast": ("dark", "bright"),
        "ConsensusPicksConfig.rule": ("at-least", "score"),
        "SimulateMicrographsConfig.contrast": ("dark", "bright"),
        "SimulateParticlesConfig.contrast": ("dark", "bright"),
        "SimulateParticlesConfig.snr_area": ("box", "particle"),
        "TrainDenoiserConfig.contrast": contrast,
        "TrainDenoiserConfig.network": ("posterior", "swinconv", "cgan"),
        "TrainDenoiserConfig.loss": ("l1", "exponential"),
        "DenoiseConfig.contrast": contrast,
        "EvaluateDenoiserConfig.contrast": contrast,
        "AssignOrientationsConfig.contrast": contrast,
        "AssessIntegrityConfig.contrast": contrast,
        "Classify2DConfig.contrast": contrast,
        "AssessIntegrityConfig.orientations": ("auto", "given", "search"),
        "DenoiseMicrographsConfig.method": ("auto", "even-odd", "added-noise"),
        "DenoiseTomogramsConfig.network": ("unet3d", "unet3d_wide"),
        "TrainSegmenterConfig.network": ("unet", "unet2d", "unet3d", "eman2", "unet16"),
        "TrainGeneralPickerConfig.network": ("unet", "deeppicker", "deepem", "cryolo", "topaz", "eman2"),
        "TrainGeneralPickerConfig.real_marks": ("complete", "partial"),
        "TrainGeneralSegmenterConfig.network": ("unet", "unet3d", "unet16"),
        "SegmentConfig.annotators": ("combined", "each"),
        "SegmentConfig.scores": ("float16", "int8"),
        "ExportRelionConfig.contrast": ("dark", "bright"),
        "DetectParticlesConfig.contrast": ("dark", "bright"),
        "TrainDetectorConfig.network": ("unet3d", "wide"),
        "ExtractParticlesConfig.contrast": ("dark", "bright"),
        "ExtractParticlesConfig.edge": ("drop", "fill"),
        "PickConfig.method": ("network", "templates"),
        "CompareMapsOfPicksConfig.contrast": ("dark", "bright"),
        "PickFeaturesConfig.shape": ("centres", "particles", "filaments", "membranes"),
        "SimulateTomogramsConfig.contrast": ("dark", "bright"),
        "SimulateSubtomogramsConfig.contrast": ("dark", "bright"),
        "TrainClassifierConfig.network": ("likelihood", "dsrf3d", "rb3d", "cb3d"),
        "TrainClassifierConfig.contrast": contrast,
        "ClassifySubtomogramsConfig.contrast": contrast,
        "FitHeterogeneityConfig.contrast": contrast,
        "InitialMapConfig.contrast": contrast,
        "FitHeterogeneityConfig.method": ("linear", "gaussian", "auto"),
        "LatentVolumesConfig.contrast": contrast,
        "ClassifySubtomogramsConfig.embedding": ("pca", "similarity", "autoencoder"),
        "TrainMapImproverConfig.network": ("fast", "swinconv"),
        "ClassifySubtomogramsConfig.align": ("auto", "given", "search", "none"),
    }
    assert set(choices) == set(frozen)
    for name, words in frozen.items():
        assert choices[name][: len(words)] == words


@pytest.mark.parametrize(
    "config",
    [
        PickConfig(**PICK),
        TrainPickerConfig(**TRAIN),
        EvaluatePicksConfig(**EVALUATE),
        SimulateMicrographsConfig(**SIMULATE),
    ],
    ids=lambda c: type(c).__name__,
)
def test_config_survives_json(config):
    text = json.dumps(config_to_dict(config))
    assert config_from_dict(type(config), json.loads(text)) == config
    assert check(config) == []


def test_request_result_and_failure_survive_their_files(tmp_path):
    request = Request("pick", PickConfig(**dict(PICK, micrographs=("a b.mrc", "50%.mrc", "c\"d'é.mrc"), threshold=0.0)))
    request.write(tmp_path / "request.json")
    assert Request.read(tmp_path / "request.json") == request
    result = Result(
        "annotate",
        {"annotations": "drawn", "counts": {}},
        "CPU",
        1.5,
        (Skipped("a", "a.mrc", "bad"),),
        ("beware",),
        {"torch": "2"},
    )
    result.write(tmp_path / "result.json")
    assert Result.read(tmp_path / "result.json") == result
    failure = Failure("pick", "input", "nothing there")
    failure.write(tmp_path / "failure.json")
    assert Failure.read(tmp_path / "failure.json") == failure
    assert sorted(p.name for p in tmp_path.iterdir()) == ["failure.json", "request.json", "result.json"]


def test_whole_numbers_of_json_become_floats():
    config = config_from_dict(PickConfig, dict(PICK, micrographs=["a.mrc"], pixel_size=2))
    assert config.pixel_size == 2.0 and type(config.pixel_size) is float and config.micrographs == ("a.mrc",)


def changed(base, **values):
    config_class = {
        id(PICK): PickConfig,
        id(TRAIN): TrainPickerConfig,
        id(EVALUATE): EvaluatePicksConfig,
        id(SIMULATE): SimulateMicrographsConfig,
    }[id(base)]
    return config_class(**dict(base, **values))


@pytest.mark.parametrize(
    "config, words",
    [
        (changed(PICK, pixel_size=None), ("Pixel size", "--pixel-size", "missing")),
        (changed(PICK, pixel_size=0.01), ("--pixel-size", "0.01 Å/px", "between 0.05 and 100 Å/px")),
        (changed(PICK, pixel_size="1.5"), ("--pixel-size", "'1.5'", "must be a number")),
        (changed(PICK, pixel_size=True), ("--pixel-size", "True", "must be a number")),
        (changed(PICK, pixel_size=float("nan")), ("--pixel-size", "nan", "must be a number")),
        (changed(PICK, threshold=1.5), ("--threshold", "1.5", "between 0 and 1")),
        (changed(PICK, micrographs="a.mrc"), ("--micrographs", "'a.mrc'", "list of strings")),
        (changed(PICK, micrographs=()), ("--micrographs", "empty")),
        (changed(PICK, output=""), ("--output", "empty")),
        (changed(PICK, output=3), ("--output", "3", "must be a string")),
        (changed(PICK, overwrite="yes"), ("--overwrite", "'yes'", "true or false")),
        (changed(TRAIN, steps=10.5), ("--steps", "10.5", "whole number")),
        (changed(TRAIN, network="resnet"), ("--network", "'resnet'", "choose one of: unet")),
        (changed(EVALUATE, border=5.0), ("--border", "--micrographs", "sizes")),
        (
            changed(SIMULATE, minimum_defocus=3e4, maximum_defocus=1e4),
            ("--maximum-defocus", "10000 Å", "--minimum-defocus", "30000 Å"),
        ),
    ],
    ids=lambda v: v[0] + "-" + v[-1] if isinstance(v, tuple) else None,
)
def test_check_names_the_parameter_the_value_and_what_is_allowed(config, words):
    problems = check(config)
    assert len(problems) == 1
    for word in words:
        assert word in problems[0]


def test_limits_with_one_side_are_said():
    class OneSided(Config):
        low: int = param("Low.", 3, "px", limits=(3, None))
        high: float = param("High.", 7.0, limits=(None, 7))

    assert check(OneSided()) == []
    assert "must be at least 3 px" in check(OneSided(low=2))[0]
    assert "must be at most 7" in check(OneSided(high=8.0))[0]


def test_none_is_allowed_only_where_its_meaning_is_said():
    for command in EVERY_COMMAND.values():
        for info in describe_all(command.config):
            assert info.optional == bool(info.none_means), f"{command.name} {info.name}"


def test_every_parameter_has_help_and_numbers_have_limits():
    for command in EVERY_COMMAND.values():
        for info in describe_all(command.config):
            assert len(info.help) > 5 and info.help.rstrip().endswith((".", ")")), f"{command.name} {info.name}"
            if info.kind in ("int", "float"):
                assert info.minimum is not None, f"{command.name} {info.name}"


def test_unknown_and_missing_parameters_are_named():
    with pytest.raises(ValueError, match="unknown parameters \\['colour'\\]; missing parameters \\['pixel_size'\\]"):
        config_from_dict(PickConfig, {k: v for k, v in dict(PICK, colour=1).items() if k != "pixel_size"})


def test_description_of_an_optional_number():
    info = describe(PickConfig, "particle_diameter")
    assert (info.kind, info.optional, info.unit, info.flag) == ("float", True, "Å", "--particle-diameter")
    assert info.label_with_unit == "Particle diameter (Å)"
    assert describe(PickConfig, "micrographs").kind == "paths" and describe(PickConfig, "overwrite").kind == "bool"
    with pytest.raises(KeyError):
        describe(PickConfig, "colour")


@pytest.mark.parametrize(
    "data, words",
    [
        ("{", ("not as JSON is written", "line 1, column 2")),
        ("[]", ("contract version None",)),
        ('{"contract_version": 99}', ("contract version 99", "reads version")),
        ('{"contract_version": 1, "command": "paint"}', ("'paint'", "train-picker")),
        ('{"contract_version": 1, "command": "pick"}', ("missing parameters", "pixel_size")),
    ],
)
def test_a_bad_request_says_what_is_wrong(tmp_path, data, words):
    (tmp_path / "request.json").write_text(data)
    with pytest.raises(ValueError) as error:
        Request.read(tmp_path / "request.json")
    for word in words:
        assert word in str(error.value)


def test_a_request_with_half_a_character_is_refused_by_name_and_one_with_bytes_of_a_name_is_read(tmp_path):
    path = tmp_path / "request.json"
    request = Request("pick", PickConfig(micrographs=("m\udcff.mrc",), pixel_size=1.0, output="o"))
    request.write(path)  # the name of a file that is not UTF-8, as Python reads it
    assert Request.read(path) == request
    path.write_text(path.read_text().replace("udcff", "ud800"))
    with pytest.raises(ValueError, match=r"request\.json holds '\\ud800', half of a character.*Correct it"):
        Request.read(path)


def test_a_result_of_another_version_is_refused(tmp_path):
    (tmp_path / "result.json").write_text('{"contract_version": 3}')
    with pytest.raises(ValueError, match="contract version 3; expected 2"):
        Result.read(tmp_path / "result.json")


def test_a_result_that_json_cannot_hold_leaves_nothing(tmp_path):
    with pytest.raises(ValueError):
        Result("evaluate-picks", {"f1": float("nan")}, nothing_made=True).write(tmp_path / "result.json")
    assert list(tmp_path.iterdir()) == []


def test_hints_can_be_evaluated_by_old_pythons():
    for command in EVERY_COMMAND.values():
        assert set(typing.get_type_hints(command.config)) == {f.name for f in dataclasses.fields(command.config)}
