"""The benchmarks: their arithmetic, and sections that run on a small cohort."""

import dataclasses
import importlib.util
import json
import math
import subprocess
import sys

import pytest
import torch

from radiogen_utils import facts
from radiogen_utils.support import project_root

SCRIPT = project_root() / "benchmarks" / "run.py"


def load(name: str):
    """A script of benchmarks/ as a module."""
    spec = importlib.util.spec_from_file_location(name, SCRIPT.with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look for it there
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def bench():
    return load("run")


def test_contenders_take_turns_and_the_first_does_not_count(bench):
    calls = []
    contenders = {name: lambda name=name: calls.append(name) or len(calls) for name in "ab"}
    results = bench.interleave(contenders, turns=2)
    assert calls == list("ababab") and results == {"a": [3, 5], "b": [4, 6]}


def test_a_ratio_is_the_median_of_the_turns_ratios(bench):
    assert bench.ratio({"a": [2, 9, 40], "b": [1, 3, 10]}, "a", "b") == 3


@pytest.fixture
def quick(bench, monkeypatch, tmp_path):
    """One turn a contender, and Figure 2 of the first repeat of the article's arms."""
    interleave = bench.interleave
    monkeypatch.setattr(bench, "interleave", lambda contenders, turns=1: interleave(contenders, turns))
    shipped = facts.read(project_root() / "figures" / "predictions.csv")
    shipped = facts.select(shipped, arm=("gbm", "scratch", "natural"), sequences="FLAIR", split="folds", repeat=0)
    (tmp_path / "figures").mkdir()
    shipped.to_csv(tmp_path / "figures" / "predictions.csv", index=False)
    monkeypatch.setattr(bench, "project_root", lambda: tmp_path)
    return bench


def test_the_archive_is_measured_the_first_and_the_second_time(quick, tiny_cohort):
    result = quick.prepare(tiny_cohort(n_patients=6))
    assert set(result["slices/s"]) == {"reading and decoding", "first time", "second time"}
    assert result["time saved the second time"] < 1 and result["first time / reading and decoding"] > 0


def test_drawing_is_measured_in_batches_and_one_by_one(quick, tiny_cohort):
    result = quick.draw(tiny_cohort(n_patients=6))
    assert set(result["heatmaps/s"]) == {"batched", "one by one"} and result["batched / one by one"] > 0
    assert result["seconds of Figure 2 from committed predictions"] > 0


@pytest.mark.skipif(torch.cuda.is_available(), reason="it would take minutes")
def test_without_a_gpu_its_section_says_so(bench, tmp_path):
    assert bench.gpu(tmp_path) == {"skipped": "no GPU here"}


@pytest.mark.slow
@pytest.mark.parametrize("section", ["archive", "drawing", "gpu"])
def test_sections_print_their_result_as_json(section, tiny_cohort):
    folder = tiny_cohort(n_patients=6)
    command = [sys.executable, str(SCRIPT), "--data", str(folder), "--section", section]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    result = json.loads(printed.splitlines()[-1])
    assert result["peak memory, MiB"] > 50
    if section == "archive":  # the median of seven turns
        assert 0 < result["time saved the second time"] < 1


def test_the_ablation_scores_the_held_out_patients_of_an_inner_fold():
    from radiogen_utils.folds import assign_folds

    from .test_cross_validation import QUICK, cohort

    ablation = load("ablation")
    data = cohort(n_patients=20, effect=1)
    for variant in (ablation.Variant(training=QUICK), ablation.Variant(training=QUICK, frozen=4)):
        scores = ablation.fit(data, ("FLAIR",), variant, None, 100, 2)
        folds = assign_folds(data.labels, ablation.FOLDS, 100)
        assert set(scores) == set(folds.index[folds == 2]) and all(map(math.isfinite, scores.values()))
    assert {name for _, name in ablation.PLAN} == set(ablation.VARIANTS)


def test_networks_of_a_permutation_give_medians_over_the_patients_whom_they_have_not_seen(tmp_path, monkeypatch):
    from radiogen_utils import heatmaps, models
    from radiogen_utils.course import precomputed
    from radiogen_utils.folds import assign_folds

    from .test_transfer import cohort

    script, data = load("permuted_margins"), cohort(20)
    for fold in range(10):
        state = models.create("compact", seed=fold).state_dict()
        models.save_weights(state, tmp_path / "permutations" / "7" / precomputed.NETWORK.format(fold))
    met, grad_cam = [], heatmaps.grad_cam
    monkeypatch.setattr(heatmaps, "grad_cam", lambda net, images: met.append(len(images)) or grad_cam(net, images))
    some = data.table.patient.isin(data.labels.index[:6]).to_numpy()
    rows = script.medians(tmp_path, data, 7, some)
    methods = {"Grad-CAM": 20, "occlusion": 6, "class activation": 20}
    assert [(row["method"], row["patients"]) for row in rows] == [pair for pair in methods.items() for _ in range(2)]
    assert {row["question"] for row in rows} == set(heatmaps.QUESTIONS.values())
    assert all(-1 <= row["median"] <= 1 and row["permutation"] == 7 for row in rows)
    fold = data.table.patient.map(assign_folds(data.permuted(7).labels, 10, 0))
    assert met == fold.value_counts().sort_index().tolist()


def test_choices_of_the_pretraining_are_trained_and_judged():
    from .test_dense import patches

    script = load("pretraining")
    data = patches(66)
    for variant in script.VARIANTS:
        variant = dataclasses.replace(variant, epochs=1)
        made = script.fit(variant, script._channels(variant, data), data.tissues)
        found = script.judge(variant, made, data)
        assert set(found) == (set(variant.sequences) if variant.shared else {"+".join(variant.sequences)})
        assert all(math.isfinite(value) for r2 in found.values() for unit in r2.values() for value in unit.values())
    kept = json.loads((project_root() / "figures" / "pretraining.json").read_text(encoding="utf-8"))["rows"]
    assert [row["variant"] for row in kept] == json.loads(json.dumps([dataclasses.asdict(v) for v in script.VARIANTS]))
