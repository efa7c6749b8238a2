"""The benchmarks: their arithmetic, and sections that run on a small cohort."""

import importlib.util
import json
import math
import subprocess
import sys

import pytest

from radiogen_utils.support import project_root

SCRIPT = project_root() / "benchmarks" / "run.py"


def load(name: str):
    """A script of benchmarks/ as a module."""
    spec = importlib.util.spec_from_file_location(name, SCRIPT.with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
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


@pytest.mark.parametrize("section", ["archive", "drawing", "gpu"])
def test_sections_print_their_result_as_json(section, tiny_cohort):
    folder = tiny_cohort(n_patients=6)
    command = [sys.executable, str(SCRIPT), "--data", str(folder), "--section", section]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    result = json.loads(printed.splitlines()[-1])
    assert result["peak memory, MiB"] > 50
    if section == "archive":
        assert 0 < result["time saved the second time"] < 1


def test_the_ablation_scores_the_held_out_patients_of_an_inner_fold():
    from radiogen_utils.cross_validation import assign_folds

    from .test_cross_validation import QUICK, cohort

    ablation = load("ablation")
    data = cohort(n_patients=20, effect=1)
    for variant in (ablation.Variant(training=QUICK), ablation.Variant(training=QUICK, frozen=4)):
        scores = ablation.fit(data, ("FLAIR",), variant, None, 100, 2)
        folds = assign_folds(data.labels, ablation.FOLDS, 100)
        assert set(scores) == set(folds.index[folds == 2]) and all(map(math.isfinite, scores.values()))
    assert {name for _, name in ablation.PLAN} == set(ablation.VARIANTS)
