"""`cross_validation`: folds by patient, no leak, resume after a kill, one run a folder, Dask workers that die."""

import inspect
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
from filelock import FileLock
from sklearn.metrics import roc_auc_score

from radiogen_utils import cross_validation, facts, models, training, transfer
from radiogen_utils.cross_validation import Arm, CrossValidation, SchedulerError
from radiogen_utils.data.archive import CohortError
from radiogen_utils.data.cohort import SEQUENCES
from radiogen_utils.facts import Model
from radiogen_utils.folds import assign_folds
from radiogen_utils.models import Initialisation
from radiogen_utils.patches import Patches
from radiogen_utils.support import FolderInUse, exclusive
from radiogen_utils.training import Training

QUICK = Training(epochs=3, learning_rate=3e-3, batch_size=16)


SIZE = 32
"""Side of the patches here: brightness and colour need no more, and a fit takes a sixth of the time."""


@pytest.fixture(autouse=True)
def one_process():
    """Fits in this process, unless a test asks for others: starting processes takes longer than the fits."""
    with joblib.parallel_config("sequential"):
        yield


def cohort(n_patients=40, n_slices=4, effect=0.0, identity=0.0, seed=0):
    """Patches whose brightness tells the class (`effect`) and whose "colour", three levels, the patient."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n_patients) % 2
    patient = np.repeat(np.arange(n_patients), n_slices)
    colour = rng.uniform(-1, 1, size=(n_patients, 3, 1, 1))
    images = 110 + 20 * rng.normal(size=(len(patient), 3, SIZE, SIZE))
    images = images + 40 * effect * (labels[patient] - 0.5)[:, None, None, None] + 80 * identity * colour[patient]
    names = pd.Series([f"TCGA_XX_{i:04d}" for i in patient])
    table = pd.DataFrame({"patient": names, "case": names, "slice": np.arange(len(patient)), "label": labels[patient]})
    return Patches(images.clip(0, 255).astype(np.uint8), np.ones((len(patient), SIZE, SIZE), bool), table, "cohort")


def arm(sequences=("FLAIR",), backbone="compact", readout="full", networks=(), **changes):
    start = Initialisation("scratch", backbone, sequences, networks)
    return Arm(start, replace(QUICK, **changes), readout)


def prepare(data, splits, *arms, seed=0, **options):
    """A cross-validation of these arms; splits as of `CrossValidation`."""
    return CrossValidation(data, splits, cross_validation.initial_weights(list(arms) or [arm()]), seed, **options)


def test_folds_are_stratified_disjoint_and_reshuffled_by_seed():
    labels = pd.Series([1] * 24 + [0] * 86, [f"P{i:03d}" for i in range(110)])
    folds = assign_folds(labels, 10, seed=0)
    per_fold = labels.groupby(folds).agg(["size", "sum"])
    assert per_fold["size"].eq(11).all() and per_fold["sum"].between(2, 3).all()
    assert folds.equals(assign_folds(labels, 10, seed=0))
    assert not folds.equals(assign_folds(labels, 10, seed=1))


def test_as_many_patients_of_a_class_as_folds_are_enough_and_fewer_are_named():
    labels = pd.Series([1] * 10 + [0] * 30)
    assert labels.groupby(assign_folds(labels, 10, seed=0)).sum().eq(1).all()
    with pytest.raises(CohortError, match="10 folds need 10 patients of each class, the smaller class has 3"):
        assign_folds(pd.Series([1] * 3 + [0] * 30), 10, seed=0)
    with pytest.raises(CohortError, match="the smaller class has 0"):
        assign_folds(pd.Series([1] * 30), 10, seed=0)


def test_cross_validation_covers_each_patient_once_a_repeat(tmp_path):
    data = cohort(effect=1)
    table = cross_validation.cross_validate(data, [arm(epochs=8)], tmp_path, folds=2, repeats=2)
    assert list(table) == facts.COLUMNS and table.network.isna().all()
    assert [model for model, _ in facts.by_model(table)] == [Model("scratch")]
    assert table.groupby("repeat").patient.nunique().eq(40).all() and len(table) == 80
    assert table.y_true.equals(table.patient.map(data.labels))
    for repeat, rows in table.groupby("repeat"):  # shuffled anew
        split = assign_folds(data.labels, 2, seed=repeat)
        assert rows.set_index("patient").fold.sort_index().eq(split).all()
    assert roc_auc_score(table.y_true, table.score) > 0.9


def test_a_slice_of_a_held_out_patient_never_helps(tmp_path):
    """The slices identify the patient and nothing tells the class: by patient chance is all there is.

    A split by slices finds each patient's other slices in training; it would be near 1.
    """
    data = cohort(n_patients=16, n_slices=12, identity=1)
    settings = arm(SEQUENCES, epochs=10)
    by_patient = cross_validation.cross_validate(data, [settings], tmp_path / "a", folds=3)
    as_if = data.table.assign(patient=[f"S{i:03d}" for i in range(len(data.table))])
    by_slice = cross_validation.cross_validate(replace(data, table=as_if), [settings], tmp_path / "b", folds=3)
    patient_auc, slice_auc = (roc_auc_score(table.y_true, table.score) for table in (by_patient, by_slice))
    # 8 patients against 8 at random: standard error 0.15; two of them.
    assert slice_auc > 0.85 and patient_auc < 0.8


def test_patient_score_is_the_mean_log_odds_of_its_slices(tmp_path):
    data = cohort(effect=0.5)
    table = cross_validation.cross_validate(data, [arm(epochs=1)], tmp_path, folds=2).set_index("patient")
    row = table.iloc[0]
    model = models.create("compact")
    model.load_state_dict(models.load_weights(tmp_path / f"scratch-compact-FLAIR-full-r0-f{row.fold}.safetensors"))
    of_patient = (data.table.patient == row.name).to_numpy()
    logits = training.predict(model, data.sequences(("FLAIR",))[of_patient])
    assert row.score == pytest.approx(logits.mean(), abs=1e-3)


@pytest.fixture
def fitted(monkeypatch):
    """What `training.fit` is asked for, by name of the argument; nothing is trained, and a score is a brightness."""
    signature, asked = inspect.signature(training.fit_by_epoch), {}
    monkeypatch.setattr(training, "fit", lambda *arguments: asked.update(signature.bind(*arguments).arguments))
    monkeypatch.setattr(training, "predict", lambda network, images: images.mean((1, 2, 3))[:, None])
    return asked


def uneven(data):
    """The same patches, of the patients in turn one to four."""
    number = data.table.groupby("patient").ngroup()
    rows = (data.table.groupby("patient").cumcount() <= number // 2 % 4).to_numpy()
    return replace(
        data, images=data.images[rows], masks=data.masks[rows], table=data.table[rows].reset_index(drop=True)
    )


def splits_of(data, folds, seeds):
    """(repeats, N) folds of the slices."""
    splits = [assign_folds(data.labels, folds, seed) for seed in seeds]
    return np.stack([data.table.patient.map(split) for split in splits])


def test_a_fit_trains_on_the_other_folds_of_its_own_repeat(fitted):
    data = uneven(cohort(n_patients=20))
    splits = splits_of(data, 4, seeds=(0, 1))
    cv = prepare(data, splits, arm(batch_size=4), seed=7)
    fits = list(np.ndindex(2, 4))
    cv.fit(arm(batch_size=4), fits)
    assert np.array_equal(fitted["targets"], data.table.label) and fitted["training"] == arm(batch_size=4).training
    # As many batches of 4 as three quarters of the slices fill, in every fit, whichever patients are left out.
    assert fitted["steps"] == len(data.table) * 3 // 4 // 4
    for (repeat, fold), weights in zip(fits, fitted["weights"], strict=True):
        out = splits[repeat] == fold
        assert (weights[out] == 0).all() and (weights[~out] > 0).all()
        shown = data.table[~out].assign(weight=weights[~out])
        by_patient = shown.groupby(["label", "patient"]).weight.sum()
        # Both classes weigh the same, and so do all patients of a class; the mean is 1.
        assert by_patient.groupby("label").sum().to_numpy() == pytest.approx([len(shown) / 2] * 2)
        assert (by_patient.groupby("label").std() < 1e-9).all()


def test_each_fit_has_a_seed_and_a_start_of_its_own_and_the_same_in_any_company(fitted):
    data = cohort(n_patients=8)
    cv = prepare(data, splits_of(data, 4, seeds=(0, 0, 0)), seed=7)
    fits = list(np.ndindex(3, 4))
    cv.fit(arm(), fits)
    seeds, starts = fitted["seeds"], [network.stem.weight.detach() for network in fitted["networks"]]
    assert len(set(seeds)) == len({start.numpy().tobytes() for start in starts}) == 12
    for fit, seed, start in list(zip(fits, seeds, starts, strict=True))[3:6]:
        cv.fit(arm(), [fit])
        assert fitted["seeds"] == [seed] and np.array_equal(fitted["networks"][0].stem.weight.detach(), start)
    replace(cv, seed=8).fit(arm(), fits)
    assert fitted["seeds"][:8] == seeds[4:]  # the second repeat from seed 7 is the first from seed 8


def test_an_arm_starts_from_its_weights_and_a_new_head(fitted, tmp_path):
    start = models.create("compact", 1, outputs=3, seed=7).state_dict()
    models.save_weights(start, tmp_path / "gbm.safetensors")
    data = cohort(n_patients=8)
    gbm = Arm(Initialisation("gbm", "compact", ("post-contrast",), (tmp_path / "gbm.safetensors",), "dense"), QUICK)
    prepare(data, splits_of(data, 2, seeds=(0,)), gbm).fit(gbm, [(0, 0), (0, 1)])
    for network in fitted["networks"]:
        state = network.state_dict()
        assert state["head.weight"].shape == (1, 128)
        assert {name for name in state if np.array_equal(state[name], start[name])} == set(state) - {
            "head.weight",
            "head.bias",
        }
    assert np.array_equal(fitted["images"], data.images[:, [SEQUENCES.index("post-contrast")]])


def test_a_patient_s_score_is_the_mean_of_its_slices_and_of_nobody_else_s(fitted):
    data = uneven(cohort(n_patients=12))
    splits = splits_of(data, 3, seeds=(0,))
    cv = prepare(data, splits)
    brightness = pd.Series(data.sequences(("FLAIR",)).mean((1, 2, 3))).groupby(data.table.patient).mean()
    for fold, result in enumerate(cv.fit(arm(), [(0, 0), (0, 1), (0, 2)])):
        assert set(result["patient"]) == set(data.table.patient[splits[0] == fold])
        np.testing.assert_allclose(result["score"], brightness[result["patient"]])


def test_the_table_s_order_is_as_asked_and_not_as_finished(fitted, tmp_path, monkeypatch):
    carry_out = cross_validation.carry_out
    monkeypatch.setattr(cross_validation, "carry_out", lambda *arguments: reversed(list(carry_out(*arguments))))
    arms = [arm(), arm(("post-contrast",)), arm(SEQUENCES)][::-1]
    table = cross_validation.cross_validate(cohort(n_patients=8), arms, tmp_path, folds=2, repeats=2)
    expected = [(each.initialisation.input, repeat, fold) for each in arms for repeat in (0, 1) for fold in (0, 1)]
    assert list(dict.fromkeys(zip(table.sequences, table.repeat, table.fold, strict=True))) == expected
    assert (
        table.groupby(["sequences", "repeat", "fold"]).patient.apply(lambda names: names.is_monotonic_increasing).all()
    )


def test_networks_are_kept_of_the_compact_backbone_s_first_repeat_alone(fitted):
    data, large = cohort(n_patients=8), arm(backbone="efficientnet_lite0")
    cv = prepare(data, splits_of(data, 2, seeds=(0, 1)), arm(), large)
    kept = [result["network"] is not None for result in cv.fit(arm(), [(0, 0), (0, 1), (1, 0)])]
    assert kept == [True, True, False] and cv.fit(large, [(0, 0)])[0]["network"] is None


def test_repeats_start_from_the_networks_in_turn_and_say_from_which(fitted, tmp_path):
    data, numbered = cohort(n_patients=8), arm(networks=(3, 4))
    cv = prepare(data, splits_of(data, 2, seeds=(0, 1, 2)), numbered, seed=0)
    cv.fit(numbered, [(0, 0), (0, 1), (1, 0), (2, 1)])
    starts = [network.stem.weight.detach() for network in fitted["networks"]]
    for start, seed in zip(starts, (3, 3, 4, 3), strict=True):
        assert np.array_equal(start, models.create("compact", 1, 1, seed).stem.weight.detach())
    table = cross_validation.cross_validate(data, [numbered, arm()], tmp_path, folds=2, repeats=3)
    own = facts.by_model(table)
    ((_, both),) = list(own)
    assert both[both.network.notna()].groupby("repeat").network.first().to_list() == [0, 1, 0]
    assert both.network.isna().sum() == 3 * 8


def test_natural_images_are_one_network():
    start = Initialisation("natural", "efficientnet_lite0")
    (weights,) = cross_validation.initial_weights([Arm(start, QUICK)]).popitem()[1]
    assert np.array_equal(weights["network.conv_stem.weight"], models.natural_weights()["network.conv_stem.weight"])


def test_an_arm_tells_its_facts():
    weights = (Path("w.safetensors"),)
    dense = Arm(Initialisation("gbm", "compact", SEQUENCES, weights, "dense"), QUICK, "lp-ft")
    assert dense.name == "gbm-dense-compact-all-lp-ft"
    assert dense.model("folds") == Model("gbm", "dense", sequences="all", readout="lp-ft")
    assert arm(("mask",)).name == "scratch-compact-mask-full"
    assert arm(("mask",)).model("institution") == Model("scratch", sequences="mask", split="institution")


def test_lp_ft_starts_from_the_probe_and_trains_at_a_tenth_of_the_rate(fitted):
    data = uneven(cohort(n_patients=20, effect=0.5))
    probed, full = (arm(readout=readout, networks=(5,), learning_rate=1e-3) for readout in ("lp-ft", "full"))
    splits = splits_of(data, 4, seeds=(0,))
    cv = prepare(data, splits, probed, full)
    cv.fit(full, [(0, 2)])
    assert fitted["training"].learning_rate == 1e-3
    plain = fitted["networks"][0].head.weight.detach().clone()
    cv.fit(probed, [(0, 2)])
    assert fitted["training"] == replace(probed.training, learning_rate=1e-4)
    (network,) = fitted["networks"]
    assert not np.allclose(network.head.weight.detach(), plain)
    out = splits[0] == 2
    expected = models.create("compact", 1, 1, 0, models.create("compact", 1, 1, 5).state_dict())
    images = data.sequences(("FLAIR",))
    transfer.probe_head(expected, images[~out], data.masks[~out], data.table[~out], 2)  # the fold's seed
    assert np.array_equal(network.head.weight.detach(), expected.head.weight.detach())


def stamps(folder):
    return {file: file.stat().st_mtime_ns for file in folder.iterdir() if file.name != ".lock"}


def test_repeated_runs_agree_bit_for_bit_and_keep_their_fits(tmp_path, capsys):
    data = cohort(effect=0.5)
    first = cross_validation.cross_validate(data, [arm(epochs=1)], tmp_path / "a", folds=2)
    before = stamps(tmp_path / "a")
    assert {file.suffix for file in before} == {".npz", ".safetensors"}
    kept = cross_validation.cross_validate(data, [arm(epochs=1)], tmp_path / "a", folds=2)
    assert stamps(tmp_path / "a") == before and "2 of 2 fits are there already" in capsys.readouterr().out
    anew = cross_validation.cross_validate(data, [arm(epochs=1)], tmp_path / "b", folds=2)
    pd.testing.assert_frame_equal(first, kept, check_exact=True)
    pd.testing.assert_frame_equal(first, anew, check_exact=True)


def test_a_missing_or_damaged_fit_is_done_again(tmp_path):
    data = cohort(effect=0.5)
    first = cross_validation.cross_validate(data, [arm(epochs=1)], tmp_path, folds=3)
    (tmp_path / "scratch-compact-FLAIR-full-r0-f0.safetensors").unlink()
    (tmp_path / "scratch-compact-FLAIR-full-r0-f1.npz").unlink()
    whole = (tmp_path / "scratch-compact-FLAIR-full-r0-f2.npz").read_bytes()
    (tmp_path / "scratch-compact-FLAIR-full-r0-f2.npz").write_bytes(whole[: len(whole) // 2])
    assert cross_validation.cross_validate(data, [arm(epochs=1)], tmp_path, folds=3).equals(first)
    assert (tmp_path / "scratch-compact-FLAIR-full-r0-f0.safetensors").exists()


def test_old_fits_are_not_mixed_with_other_settings_data_seeds_weights_or_code(tmp_path):
    data, three, probed = cohort(effect=0.5), arm(SEQUENCES), arm(readout="lp-ft")
    large = arm(backbone="efficientnet_lite0")
    split = np.arange(len(data.table))[None] // 4 % 4
    slower, longer = arm(learning_rate=1e-4), arm(epochs=4)
    cv = prepare(data, split, arm(), three, probed, large, slower, longer)
    key = cv.key(arm(), 0, 0)
    table = data.table.assign(label=1 - data.table.label)
    others = [
        cv.key(longer, 0, 0),
        cv.key(slower, 0, 0),
        cv.key(three, 0, 0),
        cv.key(probed, 0, 0),
        replace(cv, data=replace(data, images=255 - data.images)).key(arm(), 0, 0),
        replace(cv, data=replace(data, table=table)).key(arm(), 0, 0),
        replace(cv, splits=(split + 1) % 4).key(arm(), 0, 0),  # others are held out
        replace(cv, splits=np.minimum(split, 2)).key(arm(), 0, 0),  # the same, but of three folds
        cv.key(arm(), 0, 1),
        replace(cv, splits=np.repeat(split, 2, 0)).key(arm(), 1, 0),
        cv.key(large, 0, 0),
        replace(cv, seed=2).key(arm(), 0, 0),
        replace(cv, code="other").key(arm(), 0, 0),
        replace(cv, initial={arm(): [{"w": np.ones(2)}]}).key(arm(), 0, 0),
    ]
    assert len({key, *others}) == 1 + len(others)
    assert replace(cv, data=replace(data, images=data.images.copy())).key(arm(), 0, 0) == key
    first = cross_validation.cross_validate(data, [arm(epochs=1)], tmp_path, folds=2)
    changed = cross_validation.cross_validate(data, [arm(epochs=2)], tmp_path, folds=2)
    assert not np.allclose(changed.score, first.score)


def test_a_key_changes_nothing_in_the_cross_validation_while_another_thread_sends_it_to_workers():
    data = cohort(n_patients=8)
    cv = prepare(data, np.zeros((1, len(data.table)), int))
    before = list(vars(cv))
    cv.key(arm(), 0, 0)
    assert list(vars(cv)) == before


def test_fits_done_together_as_on_a_gpu_agree_with_those_done_alone():
    data, settings = cohort(effect=1), arm(epochs=8)
    split = data.table.patient.map(assign_folds(data.labels, 2, 0)).to_numpy()
    cv = prepare(data, split[None], settings)
    together = cv.fit(settings, [(0, 0), (0, 1)])
    alone = [cv.fit(settings, [(0, fold)])[0] for fold in (0, 1)]
    for a, b in zip(together, alone, strict=True):
        assert (a["repeat"], a["fold"]) == (b["repeat"], b["fold"]) and list(a["patient"]) == list(b["patient"])
        # They differ by rounding, which 40 steps of Adam enlarge to some hundredths.
        assert a["score"].std() > 1 and np.abs(a["score"] - b["score"]).max() < 0.1


def on_write(monkeypatch, n, action):
    """Call `action` once this process has written `n` fits."""
    write, written = cross_validation._write, []

    def counted(*arguments):
        write(*arguments)
        written.append(arguments)
        if len(written) == n:
            action()

    monkeypatch.setattr(cross_validation, "_write", counted)


def test_an_interrupted_run_continues_with_what_is_missing(tmp_path, monkeypatch):
    data = cohort(n_patients=16, effect=0.5)
    expected = cross_validation.cross_validate(data, [arm(epochs=1)], tmp_path / "whole", 3, 2)

    def interrupt():
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        on_write(patched, 2, interrupt)
        with pytest.raises(KeyboardInterrupt):
            cross_validation.cross_validate(data, [arm(epochs=1)], tmp_path / "broken", 3, 2)
    done = stamps(tmp_path / "broken")
    assert len(list((tmp_path / "broken").glob("*.npz"))) == 2
    again = cross_validation.cross_validate(data, [arm(epochs=1)], tmp_path / "broken", 3, 2)
    assert done.items() < stamps(tmp_path / "broken").items()
    pd.testing.assert_frame_equal(again, expected, check_exact=True)


SCRIPT = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
import pytest
from test_cross_validation import arm, cohort, on_write
from radiogen_utils import cross_validation
if {kill_after}:
    on_write(pytest.MonkeyPatch(), {kill_after}, lambda: os.killpg(0, signal.SIGKILL))
table = cross_validation.cross_validate(cohort(n_patients=24, effect=0.5), [arm(epochs=2)], Path({folder!r}), 4, 3)
table.to_csv(Path({folder!r}) / "predictions.csv", index=False)
"""


def run(folder, kill_after=0) -> int:
    """Exit status of the cross-validation of `SCRIPT`, on all cores, in a separate process group."""
    code = SCRIPT.format(tests=str(Path(__file__).parent), folder=str(folder), kill_after=kill_after)
    return subprocess.run([sys.executable, "-c", code], start_new_session=True, timeout=300).returncode


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_a_killed_run_continues_and_ends_as_if_it_had_not_been(tmp_path):
    data = cohort(n_patients=24, effect=0.5)
    expected = cross_validation.cross_validate(data, [arm(epochs=2)], tmp_path / "whole", 4, 3)
    killed = tmp_path / "killed"
    assert run(killed, kill_after=3) == -signal.SIGKILL
    done = stamps(killed)
    assert len(list(killed.glob("*.npz"))) == 3 and not (killed / "predictions.csv").exists()
    assert run(killed) == 0
    assert all(stamps(killed)[file] == stamp for file, stamp in done.items())
    expected.to_csv(tmp_path / "expected.csv", index=False)
    assert (killed / "predictions.csv").read_bytes() == (tmp_path / "expected.csv").read_bytes()


def test_the_second_run_in_a_folder_says_so_and_harms_nothing(tmp_path, monkeypatch):
    acquire = FileLock.acquire
    monkeypatch.setattr(FileLock, "acquire", lambda lock, timeout: acquire(lock, timeout=0.1))  # not seconds
    data = cohort(n_patients=8)
    holder = (
        "import sys, time; from pathlib import Path; from radiogen_utils.support import exclusive\n"
        "with exclusive(Path(sys.argv[1])): print('in', flush=True); time.sleep(600)"
    )
    first = subprocess.Popen([sys.executable, "-c", holder, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert first.stdout.readline() == "in\n"
    with pytest.raises(FolderInUse, match="in use by another run"):
        cross_validation.cross_validate(data, [arm(epochs=1)], tmp_path, folds=2)
    assert not list(tmp_path.glob("*.npz"))
    first.kill()
    first.wait()
    with exclusive(tmp_path):
        pass  # the system has given the folder back


def test_a_worker_with_other_code_refuses():
    data = cohort(n_patients=8)
    cv = prepare(data, np.zeros((1, len(data.table)), int), code="other")
    with pytest.raises(RuntimeError, match="another version of radiogen_utils or torch"):
        cv.fit(arm(), [(0, 0)])


@pytest.mark.slow
def test_dask_workers_one_of_them_killed_give_the_same_predictions(cluster, tmp_path, monkeypatch):
    address, workers = cluster.address, cluster.workers
    data, settings = cohort(n_patients=24, effect=0.5), [arm(epochs=2)]
    local = cross_validation.cross_validate(data, settings, tmp_path / "local", 4, 3)
    with cross_validation.connect(address) as client:
        client.wait_for_workers(2, timeout=60)
    on_write(monkeypatch, 3, workers[0].kill)
    spread = cross_validation.cross_validate(data, settings, tmp_path / "dask", 4, 3, scheduler=address)
    assert workers[0].wait(10) != 0 and workers[1].poll() is None
    pd.testing.assert_frame_equal(spread, local, check_exact=True)


@pytest.mark.slow
def test_a_run_outlives_all_its_workers_when_another_one_comes(cluster, tmp_path, monkeypatch):
    data, settings = cohort(n_patients=24, effect=0.5), [arm(epochs=2)]

    def replace_all():
        for worker in cluster.workers:
            worker.kill()
        cluster.start_worker()

    on_write(monkeypatch, 2, replace_all)
    table = cross_validation.cross_validate(data, settings, tmp_path, 4, 2, scheduler=cluster.address)
    assert all(worker.wait(10) != 0 for worker in cluster.workers) and len(table) == 48


def test_nobody_at_the_scheduler_s_address(monkeypatch):
    pytest.importorskip("distributed", reason="Dask is not installed")
    monkeypatch.setattr(cross_validation, "SCHEDULER_TIMEOUT", 0.5)
    with pytest.raises(SchedulerError, match="no Dask scheduler answers at tcp://127.0.0.1:9"):
        cross_validation.connect("tcp://127.0.0.1:9")
    with pytest.raises(SchedulerError, match="no Dask scheduler answers at nonsense"):
        cross_validation.connect("nonsense://x")


def test_without_dask_the_command_that_installs_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(SchedulerError, match="cluster"):
        cross_validation.connect("tcp://127.0.0.1:9")


def test_given_folds_are_the_same_in_every_repeat(tmp_path):
    """As the institution is: uneven in size, each held out once a repeat, with other seeds."""
    data = cohort(n_patients=16, effect=1)
    folds = pd.Series(np.minimum(np.arange(16) // 4, 2), data.labels.index)
    table = cross_validation.cross_validate(data, [arm(epochs=1)], tmp_path, folds=folds, repeats=2)
    for _, rows in table.groupby("repeat"):
        assert rows.set_index("patient").fold.sort_index().eq(folds).all() and len(rows) == 16
    first, second = (rows.set_index("patient").score.sort_index() for _, rows in table.groupby("repeat"))
    assert not np.allclose(first, second)
