"""The run folder that the notebooks share."""

import numpy as np
import pytest

from radiogen_utils.course.run_folder import MissingStep, Run


def test_unknown_profile_names_the_valid_ones(tmp_path):
    with pytest.raises(ValueError, match="smoke, standard, paper"):
        Run(tmp_path, "quick")


def test_a_missing_file_names_the_notebook_to_run_first(tmp_path):
    with pytest.raises(MissingStep, match=r"run notebooks/02_patches.ipynb first"):
        Run(tmp_path, "smoke").require("patches.npz", "02_patches")


def test_results_keep_their_sections_and_say_where_they_come_from(tmp_path):
    run = Run(tmp_path, "smoke")
    run.record("a", {"value": np.float32(1.5), "list": np.arange(3)})
    run.record("b", {"value": 2})
    run.record("c", {"absent": [np.nan, np.float64("nan")]})
    assert run.results()["c"] == {"absent": [None, None]}
    run.record("a", {"value": np.int64(7)})
    results = run.results()
    assert results["a"] == {"value": 7} and results["b"] == {"value": 2}
    assert results["run"]["profile"] == "smoke" and results["run"]["settings"]["folds"] == run.profile.folds
    assert results["run"]["versions"]["torch"]
