# SPDX-License-Identifier: GPL-3.0-or-later
"""What version 0.1.0 called commands, options, outputs and protocols, and what they are called now.

Names of another version are known only here. Requests, results, command lines, saved workflows and projects of
0.1.0 are read through it; a removed option is named in a warning and ignored."""

import typing

VERSION = "0.1.0"
_LEARNING = ("patience", "validation_fraction", "learning_rate")
_OPTICS = ("voltage", "spherical_aberration", "amplitude_contrast")
# {name then: name now}; a command that is not listed keeps its name.
COMMANDS: typing.Dict[str, str] = {
    "cluster-subtomograms": "classify-subtomograms",
    "fit-subtomogram-heterogeneity": "fit-heterogeneity",
    "join-annotations": "import-annotations",
    "pick-templates": "pick",
}
# {command then: {option: value}} that say now what the command's name said then: pick-templates is pick --method ...
GIVEN: typing.Dict[str, typing.Dict[str, typing.Any]] = {"pick-templates": {"method": "templates"}}
# {class then: (class now, {field of the form: value})} of protocols; of a choice the position. The values say now what
# the class said then.
PROTOCOLS: typing.Dict[str, typing.Tuple[str, typing.Dict[str, typing.Any]]] = {
    "CryodlProtAutoPick": ("CryodlProtPick", {"method": 2}),
    "CryodlProtClusterSubtomograms": ("CryodlProtClassifySubtomograms", {}),
    "CryodlProtCompareMapsOfPicks": ("CryodlProtCompare", {"what": 1}),
    "CryodlProtCompareModels": ("CryodlProtEvaluateMap", {"what": 1}),
    "CryodlProtEvaluateSegmentation": ("CryodlProtMergeFeatures", {"what": 1}),
    "CryodlProtExportModel": ("CryodlProtModels", {"what": 1}),
    "CryodlProtFitSubtomogramHeterogeneity": ("CryodlProtFitHeterogeneity", {}),
    "CryodlProtImportModel": ("CryodlProtModels", {"what": 0}),
    "CryodlProtLatentVolumes": ("CryodlProtFitHeterogeneity", {"what": 1}),
    "CryodlProtRawParticles": ("CryodlProtDenoise", {"what": 1}),
    "CryodlProtPickTemplates": ("CryodlProtPick", {"method": 1}),
    "CryodlProtMeasureMembranes": ("CryodlProtPickFeatures", {"what": 1}),
    "CryodlProtSimulateHalfMaps": ("CryodlProtSimulate", {"what": 2}),
    "CryodlProtSimulateParticles": ("CryodlProtSimulate", {"what": 1}),
    "CryodlProtSimulateSubtomograms": ("CryodlProtSimulateTomograms", {"what": 1}),
    "CryodlProtTrainClassifier": ("CryodlProtTrainTomograms", {"what": 2}),
    "CryodlProtTrainDetector": ("CryodlProtTrainTomograms", {"what": 1}),
    "CryodlProtTrainFromStructure": ("CryodlProtTrainPicker", {"what": 1}),
    "CryodlProtTrainGeneral": ("CryodlProtTrainPicker", {"what": 2}),
    "CryodlProtTrainSegmenter": ("CryodlProtTrainTomograms", {"what": 0}),
}
# {protocol then: {field of its form then: field now}}, as Scipion's projects and workflows name them.
FIELDS: typing.Dict[str, typing.Dict[str, str]] = {
    "CryodlProtEvaluateSegmentation": {"threshold": "evaluationThreshold"},
    "CryodlProtFitSubtomogramHeterogeneity": {"inputSubtomograms": "inputParticles"},
    "CryodlProtLatentVolumes": {"axes": "pathAxes", "maps": "pathMaps"},
    "CryodlProtMeasureMembranes": {"minimumSize": "membraneMinimumSize"},
    "CryodlProtSimulateHalfMaps": {"pixelSize": "mapPixelSize", "box": "mapBox"},
    "CryodlProtSimulateParticles": {"count": "particleCount", "contrast": "particleContrast"},
    "CryodlProtSimulateSubtomograms": {
        "pixelSize": "subtomogramPixelSize",
        "count": "subtomogramCount",
        "snr": "subtomogramSnr",
        "contrast": "subtomogramContrast",
    },
    "CryodlProtTrainClassifier": {"network": "classifierNetwork"},
    "CryodlProtTrainDetector": {"network": "detectorNetwork"},
    "CryodlProtTrainFromStructure": {"inputMicrographs": "ownMicrographs", "contrast": "simulatedContrast"},
    "CryodlProtTrainGeneral": {"steps": "generalSteps", "startGeneral": "continueGeneral"},
}
# {command: {option then: option now}}, as field names: minimum_score. The command's name is the present one, or that of
# then where several became one.
RENAMED: typing.Dict[str, typing.Dict[str, str]] = {"fit-subtomogram-heterogeneity": {"subtomograms": "particles"}}
# {command: options that are gone}; its name as above.
REMOVED: typing.Dict[str, typing.Tuple[str, ...]] = {
    "assess-integrity": ("model", "angular_step", "resolution"),
    "assign-orientations": ("refine",),
    "classify-2d": ("ranker",),
    "compare-maps-of-picks": ("mask_diameter",),
    "denoise": ("batch_size",),
    "improve-map": ("confidence",),
    "latent-volumes": ("mask_diameter",),
    "reconstruct": ("substituted",),
    "train-denoiser": ("adversarial_weight", "split_by", "validation_fraction", "patience", "learning_rate"),
    "auto-pick": ("border",),
    "compare-picks": ("json",),
    "evaluate-picks": ("json",),
    "pick": ("memory",),
    "pick-filaments": ("memory",),
    "pick-templates": ("angular_step",),
    "train-filament-picker": ("learning_rate",),
    "train-general-picker": ("learning_rate",),
    "train-micrograph-denoiser": ("learning_rate",),
    "train-picker": ("patience",),
    "evaluate-map": ("improver",),
    "fit-heterogeneity": ("tolerance", "gaussians", "anchors"),
    "fit-subtomogram-heterogeneity": ("tolerance",),
    "classify-subtomograms": ("averages", "batch_size", "components", "compensate"),
    "denoise-tomograms": ("memory",),
    "detect-particles": ("false_detections", "whitening", "memory", "tilt_series_pixel_size", "template_pixel_size"),
    "measure-membranes": ("tilt_series_pixel_size",),
    "merge-features": ("smoothing", "competitive", "memory"),
    "pick-features": ("tilt_series_pixel_size",),
    "segment": ("memory", "noise_limit"),
    "simulate-half-maps": ("side_chains", "solvent", "carboxylates", "sharpen"),
    "simulate-subtomograms": ("defocus_spread", *_OPTICS),
    "simulate-tomograms": ("defocus_spread", *_OPTICS),
    "train-classifier": _LEARNING,
    "train-detector": _LEARNING,
    "train-general-segmenter": ("batch_size", "learning_rate"),
    "train-map-improver": (
        *("local_resolution", "local_effects", "ssim_weight", "q_score_weight", "fsc_weight", "attention", "width"),
        *_LEARNING,
    ),
    "train-segmenter": _LEARNING,
}
# {command: {output then: output now}}; its name as above.
OUTPUTS: typing.Dict[str, typing.Dict[str, str]] = {"fit-subtomogram-heterogeneity": {"subtomograms": "particles"}}


def present_options(
    command: str, values: typing.Mapping[str, typing.Any]
) -> typing.Tuple[typing.Dict[str, typing.Any], typing.List[str]]:
    """Values by the present names of a command's options. command: its name, present or of 0.1.0. values: by present
    names or those of 0.1.0. Returns values: without those of removed options. Returns warnings: a sentence that names
    the removed options. Raises ValueError if a value is given under both names."""
    renamed, removed = _renamed(command), _removed(command)
    twice = [(old, new) for old, new in renamed.items() if old in values and new in values]
    if twice:
        raise ValueError("{1} is given twice, also as {0}, its name in version 0.1.0. Leave {0} out.".format(*twice[0]))
    gone = [name for name in values if name in removed]
    present = {renamed.get(name, name): value for name, value in values.items() if name not in removed}
    return dict(GIVEN.get(command, {}), **present), removed_sentence(gone)


def _renamed(command: str) -> typing.Dict[str, str]:
    """{name then: name now} of a command, under its present name and the one that it was given."""
    return dict(RENAMED.get(COMMANDS.get(command, command), {}), **RENAMED.get(command, {}))


def _removed(command: str) -> typing.Tuple[str, ...]:
    return (*REMOVED.get(COMMANDS.get(command, command), ()), *REMOVED.get(command, ()))


def former_names(command: str) -> typing.Dict[str, typing.List[str]]:
    """{option: names that it had in version 0.1.0} of a command, for fields of forms that Scipion reads by name."""
    names: typing.Dict[str, typing.List[str]] = {}
    for one in [command, *(then for then, now in COMMANDS.items() if now == command)]:
        for old, new in RENAMED.get(one, {}).items():
            names.setdefault(new, []).append(old)
    return names


def removed_sentence(names: typing.Sequence[str]) -> typing.List[str]:
    """A warning that names removed options, as a list of one sentence or none. names: as field names."""
    if not names:
        return []
    flags = ", ".join("--" + name.replace("_", "-") for name in names)
    return [f"{flags} {'is' if len(names) == 1 else 'are'} ignored: this version has no such option."]


def present_command_line(words: typing.Sequence[str]) -> typing.Tuple[typing.List[str], typing.List[str]]:
    """The words of a command line of 0.1.0 as they are now. words: without the program's name. Returns words: without
    removed options and their values. Returns warnings: a sentence that names the removed options."""
    if not words:
        return [], []
    renamed, removed = _renamed(words[0]), _removed(words[0])
    present: typing.List[str] = [COMMANDS.get(words[0], words[0])]
    given = [(f"--{name.replace('_', '-')}", str(value)) for name, value in GIVEN.get(words[0], {}).items()]
    present += [word for one in given if one[0] not in words for word in one]
    gone: typing.List[str] = []
    dropping = False
    for word in words[1:]:
        flag, equals, value = word.partition("=")
        name = flag[2:].replace("-", "_")
        if flag == "--json":  # of every command now
            dropping = False
        elif flag.startswith("--"):
            dropping = name in removed or name.startswith("no_") and name[3:] in removed
            gone += [name] if dropping else []
            word = "--" + renamed[name].replace("_", "-") + equals + value if name in renamed else word
        present += [] if dropping else [word]
    return present, removed_sentence(gone)
