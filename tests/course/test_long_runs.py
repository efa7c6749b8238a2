"""Long runs that share nothing with those of test_notebooks.py: the phantom without any effect, a reader's real run."""

import json
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from radiogen_utils import cross_validation, patches
from radiogen_utils.course import command_line, precomputed
from radiogen_utils.course.settings import PROFILES
from radiogen_utils.data.download import find_cohort
from radiogen_utils.models import Initialisation


@pytest.mark.slow
def test_without_any_effect_the_auc_is_one_half(tmp_path):
    profile = PROFILES["smoke"]
    data = patches.build_patches(find_cohort("phantom-null", 60, profile.seed))
    arm = cross_validation.Arm(Initialisation("scratch", "compact"), profile.compact)
    table = cross_validation.cross_validate(data, [arm], tmp_path, folds=profile.folds, repeats=2)
    areas = [roc_auc_score(group.y_true, group.score) for _, group in table.groupby("repeat")]
    # 13 against 47 patients at random: standard error 0.09, hardly less for two repeats; two of them.
    assert abs(np.mean(areas) - 0.5) < 0.18


@pytest.mark.slow
def test_a_reader_gets_the_true_figures_without_training(real_archive, tmp_path):
    """The whole of profile `paper` on the real cohort, from the scores and networks that come with the course."""
    shipped = json.loads((precomputed.FOLDER / "results.json").read_text())
    # Otherwise this would train for hours.
    asked, there = json.loads(json.dumps(asdict(PROFILES["paper"]))), shipped["run"]["settings"]
    may_have_more = {name: there[name] for name in (*precomputed.AT_LEAST, "networks")}
    assert there == asked | may_have_more, "run profile paper anew"
    assert all(there[name] >= asked[name] for name in precomputed.AT_LEAST)
    chosen = ["01", "02", "03", "04", "05", "06"]
    arguments = ["--only", *chosen, "--profile", "paper", "--data", str(real_archive), "--out", str(tmp_path)]
    command_line.main(["run", *arguments])
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["training"]["precomputed"] == shipped["run"]["commit"] and not (tmp_path / "fits").exists()
    # Read from text, the last digits may differ.
    for name in ("predictions.csv", "permutations.csv"):
        pd.testing.assert_frame_equal(pd.read_csv(tmp_path / name), pd.read_csv(precomputed.FOLDER / name))
    assert results["roc"]["summary"][1]["auc"] == pytest.approx(shipped["roc"]["summary"][1]["auc"])
    for ours, theirs in zip(results["heatmaps"]["summaries"], shipped["heatmaps"]["summaries"], strict=True):
        # Another processor adds in another order; a patient whose map is empty but for rounding may then come or go.
        assert ours["network"] == theirs["network"] and ours["median"] == pytest.approx(theirs["median"], abs=0.05)
