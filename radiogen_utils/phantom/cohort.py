"""A synthetic cohort and a synthetic glioblastoma set, in the layouts of the real ones.

With them the whole course runs where no patient data can be had, and in continuous integration. Anatomy and scanner are
those of `anatomy`; nothing is learned from, or copied out of, a patient's image.

What separates `COCCluster` 2 from the rest, each with the overlap between the classes that real tumours show:

- post-contrast enhancement is more frequent and stronger; the tumour is slightly less dark before contrast;
- on FLAIR the contour is more lobulated and infiltrative, the margin softer, the inside more mottled and more often
  necrotic, the contrast slightly lower. Here the phantom **exaggerates**: a linear model on nine such features, which
  reaches an AUC of 0.62 on the real cohort, reaches about 0.87 here, so that forty patients suffice to test a method;
- location: more temporal and insular, less frontal;
- tables: older, of higher grade, mostly IDH wild-type, dying sooner.

Tumour size, institution, side, missing sequences and names do not depend on the cluster.
"""

import io
import re
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from scipy import ndimage
from scipy.special import ndtri

from . import anatomy
from .anatomy import Acquisition, Head, sigmoid

_INSTITUTIONS = dict(AA=0.40, BB=0.30, CC=0.15, DD=0.12, EE=0.03)
# Lobe: code in the table, centre in MNI millimetres (right hemisphere), weight outside and inside cluster 2.
_LOBES = {
    "frontal": (2, (32, 30, 25), 0.58, 0.25),
    "temporal": (6, (46, -18, -12), 0.14, 0.32),
    "insula": (6, (38, 2, 6), 0.10, 0.20),
    "parietal": (5, (32, -42, 38), 0.15, 0.18),
    "occipital": (4, (28, -70, 12), 0.03, 0.05),
}
# Column: weights of the codes 1, 2, … in clusters 1, 2 and 3; fraction of patients that lack it.
_CODES = {
    "RNASeqCluster": ((5, 1, 0, 3), (0, 20, 0, 1), (1, 0, 6, 5), 0.16),
    "MethylationCluster": ((1, 0, 4, 0, 6), (0, 0, 0, 5, 1), (0, 4, 5, 0, 1), 0.01),
    "miRNACluster": ((4, 9, 0, 1), (3, 2, 3, 1), (3, 7, 0, 0), 0),
    "CNCluster": ((50, 0, 1), (1, 4, 0), (0, 1, 28), 0.02),
    "RPPACluster": ((3, 4, 1, 2), (4, 2, 12, 1), (2, 3, 1, 4), 0.11),
    "OncosignCluster": ((1, 12, 1), (1, 4, 7), (8, 1, 1), 0.05),
    "histological_type": ((5, 5, 4), (7, 2, 3), (0, 1, 5), 0),
    "neoplasm_histologic_grade": ((5, 4), (1, 9), (3, 2), 0),
    "gender": ((1, 1),) * 3 + (0,),
    "race": ((0, 1, 9),) * 3 + (0.01,),
    "ethnicity": ((1, 30),) * 3 + (0.06,),
}
# Gene: fraction mutated in clusters 1, 2 and 3.
_GENES = {"IDH1": (0.87, 0.17, 0.93), "TP53": (0.83, 0.30, 0.17), "ATRX": (0.70, 0.17, 0.07), "PTEN": (0, 0.13, 0.03)}
_GENES |= {"EGFR": (0.04, 0.22, 0), "CIC": (0, 0, 0.53), "FUBP1": (0, 0, 0.27), "IDH2": (0.06, 0, 0.07)}
_AGE = {1: (40, 12), 2: (54, 12), 3: (51, 12)}  # years, mean and standard deviation
_SURVIVAL, _FOLLOW_UP = {1: 4000, 2: 1100, 3: 6500}, 1400  # days, means of the exponentials of death and of censoring
_CLUSTERS = "RNASeqCluster MethylationCluster miRNACluster CNCluster RPPACluster OncosignCluster COCCluster".split()
_CLINICAL = """histological_type neoplasm_histologic_grade tumor_tissue_site laterality tumor_location gender
age_at_initial_pathologic race ethnicity death01""".split()


# ---- images ----


def _tumour_centre(rng: np.random.Generator, aggressive: bool) -> tuple[int, np.ndarray]:
    """A lobe's code in the table and a tumour's centre (x, y, z) in mm; x is positive on the right."""
    codes, centres, others, second = zip(*_LOBES.values(), strict=True)
    weights = np.array(second if aggressive else others)
    k = rng.choice(len(codes), p=weights / weights.sum())
    return codes[k], (centres[k] + rng.normal(0, (3, 7, 6))) * (rng.choice([-1, 1]), 1, 1)


def _glioma(
    rng: np.random.Generator, institution: int, centre: Sequence[float], volume: float, aggressive: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One patient of the cohort: slice numbers, images (Z, 256, 256, 3) uint8 and masks (Z, 256, 256) bool."""

    def draw(median: float, effect: float, spread: float) -> float:
        return float(median * np.exp(effect * aggressive + rng.normal(0, spread)))

    # All effects on the image; enhancing at all is a matter of chance too.
    lobulation, infiltration = draw(0.10, 0.7, 0.5), draw(0.25, 0.7, 0.5)
    softness, mottle = draw(0.045, 0.25, 0.35), draw(0.06, 0.5, 0.4)
    necrosis = min(max(rng.normal(-0.05 + 0.33 * aggressive, 0.18), 0.0), 0.5)
    flair_level = rng.normal(1.72 - 0.05 * aggressive, 0.2)
    t1_level = min(rng.normal(0.77 + 0.08 * aggressive, 0.09), 1.0)
    enhancement = (rng.random() < 0.3 + 0.48 * aggressive) * draw(0.35, 0.45, 0.4)

    head = Head(rng, centre, volume, -0.22, lobulation, infiltration)
    scanner = np.random.default_rng([7, institution])  # an institution's habits; each examination departs from them
    pixel = scanner.normal(1.0, 0.04) + rng.normal(0, 0.02)
    white = scanner.uniform(0.8, 0.9) + rng.normal(0, 0.02)  # white matter on FLAIR, grey is 1
    fat, csf = scanner.uniform(2.2, 3.4) * rng.uniform(0.85, 1.15), rng.uniform(0.15, 0.3)
    settings = scanner.uniform((0.4, 0.015, 47), (0.8, 0.05, 68), (3, 3))
    settings[:, 2] *= np.exp(rng.normal(0, 0.15, 3))
    sequences = [Acquisition(*values) for values in settings.tolist()]

    z = np.arange(-62 + rng.uniform(0, 5), 84, 5)
    first, last = head.fit(z)
    first, last = max(first - 1, 0), min(last + 1, len(z) - 1)
    z = z[first : last + 1]
    y = rng.normal(-14, 4) - (np.arange(256) - 127.5) * pixel
    x = rng.normal(0, 4) - (np.arange(256) - 127.5) * pixel  # the patient's right is on the image's left
    # Air needs no anatomy: the maps span a window around the head.
    rows, columns = (slice(*np.flatnonzero(near)[[0, -1]]) for near in (np.abs(y + 17) < 112, np.abs(x) < 92))
    m = head.maps(z, y[rows], x[columns])
    m.growth[[0, -1]] = np.inf  # the two slices free of tumour
    outlined = np.stack([anatomy.outline(growth < 1, brain) for growth, brain in zip(m.growth, m.brain, strict=True)])
    near = ndimage.binary_dilation(outlined, np.ones((1, 3, 3)), iterations=4).astype(np.float32)
    inside = sigmoid((1 - m.growth) / softness) * ndimage.gaussian_filter(near, (0, 1, 1))  # no part without an outline

    core = m.growth + 0.15 * m.texture
    dead = sigmoid((necrosis - core) / 0.05) * inside
    flair = m.gm + white * m.wm + csf * m.csf
    tissue = flair_level * np.maximum(flair, 0.75) * (1 + mottle * m.texture + 0.06 * m.patches)
    flair += inside * (tissue - flair)
    flair += dead * (rng.uniform(0.5, 1.1) + 0.12 * m.texture - flair)
    pre = m.t1 * (1 - inside * (1 - t1_level)) * (1 - 0.35 * dead)
    rim = np.exp(-(((core - necrosis - 0.2) / 0.2) ** 2)) * sigmoid((m.patches + 0.2) * 3)
    rim *= np.clip(1 + 0.5 * m.texture, 0, 2)
    nodules = 0.7 * sigmoid((m.patches - 1.1) * 5) * sigmoid((0.8 - core) * 12)
    contrast = anatomy.vessels(m)
    post = pre + enhancement * inside * (rim + nodules + 0.15) + contrast

    around = head.surroundings(m, csf=0.32, fat=fat, marrow=0.45)
    flair = np.where(m.brain, flair, head.surroundings(m, csf=csf, fat=1.1 * fat, marrow=0.35))
    pre, post = np.where(m.brain, (pre, post), (around, around + contrast * (m.depth > 0)))
    images, masks = np.zeros((len(z), 256, 256, 3), np.uint8), np.zeros((len(z), 256, 256), bool)
    for channel, (signal, acquire) in enumerate(zip((pre, flair, post), sequences, strict=True)):
        whole = np.zeros(masks.shape, np.float32)
        whole[:, rows, columns] = signal
        images[..., channel] = acquire(rng, whole, y, x)
    masks[:, rows, columns] = outlined
    return first + 1 + np.arange(len(z)), images, masks


def _glioblastoma(rng: np.random.Generator, like: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One case of the glioblastoma set: slice numbers, images and labels, both (Z, 120, 120) uint8."""
    _, centre = _tumour_centre(rng, True)
    volume = min(max(np.exp(rng.normal(np.log(105e3), 0.45)), 30e3), 230e3)
    head = Head(rng, centre, volume, 0.4, *rng.uniform((0.08, 0.2), (0.25, 0.6)).tolist())
    head.fit(np.arange(-60.0, 84, 5))
    numbers = np.array([46, 62, 77, 93, 108, 124])[int(rng.random() < 0.3) :]
    y = rng.normal(-17, 2) - (np.arange(120) - 59.5) * 2.12
    x = rng.normal(0, 2) - (np.arange(120) - 59.5) * 2.12
    m = head.maps(1.08 * numbers - 75, y, x)

    # Necrosis inside, then an enhancing ring, each of a set share of the tumour.
    tumour = (m.growth < 1) & m.brain
    core, ring = rng.uniform((0.03, 0.15), (0.3, 0.4)) if like else (rng.choice([0, 0.15, 0.4]), rng.uniform(0, 0.07))
    order = m.growth + 0.22 * m.texture + 0.12 * m.patches
    inner, outer = np.quantile(order[tumour], [core, core + ring])
    labels = np.where(order > outer, 1, np.where(order > inner, 3, 2 if core else 1)).astype(np.uint8) * tumour

    signal = m.t1 ** rng.uniform(0.6, 1.3) + anatomy.vessels(m)
    levels = rng.uniform(0.78, 0.98), rng.uniform(0.5, 0.85), rng.uniform(1.3, 1.8) + 0.2 * m.texture
    shares = [ndimage.gaussian_filter((labels == k).astype(np.float32), (0, 0.5, 0.5)) for k in (1, 2, 3)]
    signal = signal * (1 - sum(shares)) + sum(share * level for share, level in zip(shares, levels, strict=True))
    acquire = Acquisition(blur=0.5, noise=rng.uniform(0.015, 0.04), gain=rng.uniform(90, 190))
    return numbers, acquire(rng, signal * m.brain, y, x) * m.brain, labels


# ---- tables ----


def _tables(
    rng: np.random.Generator, names: Sequence[str], clusters: np.ndarray, lobes: Sequence[int], right: Sequence[bool]
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Clinical table, survival and mutations; the tumours lie in `lobes` (codes), on the `right` or not."""
    n = len(names)
    table = pd.DataFrame({"Patient": names})
    for column, (*weights, absent) in _CODES.items():
        codes = [rng.choice(len(w), p=np.divide(w, sum(w))) + 1 for w in (weights[c - 1] for c in clusters)]
        table[column] = pd.Series(codes, dtype="Int64").mask(rng.permutation(n) < round(absent * n))
    age = np.clip([rng.normal(*_AGE[c]) for c in clusters], 20, 75)
    death, seen = np.array([rng.exponential(_SURVIVAL[c]) for c in clusters]), rng.exponential(_FOLLOW_UP, n)
    others = {"tumor_tissue_site": 1, "laterality": np.where(right, 3, 1), "tumor_location": lobes}
    others |= {"age_at_initial_pathologic": np.round(age).astype(int), "death01": (death < seen).astype(int)}
    table = table.assign(**others).astype(dict.fromkeys(others, "Int64"))
    table.loc[rng.permutation(n) < 1, _CLINICAL] = pd.NA
    barcodes = table["Patient"].str.replace("_", "-")
    survival = pd.DataFrame({"bcr_patient_barcode": barcodes, "type": "LGG", "OS": others["death01"]})
    survival["OS.time"] = np.ceil(np.minimum(death, seen)).astype(int) + 2
    genes = {g: [int(rng.random() < rate[c - 1]) for c in clusters] for g, rate in _GENES.items()}
    mutations = pd.DataFrame({"Project": "TCGA-LGG", "Case_ID": barcodes, **genes})
    return table, survival, mutations[rng.permutation(n) >= round(0.04 * n)]


def _balanced(rng: np.random.Generator, group: np.ndarray) -> np.ndarray:
    """Numbers between 0 and 1, spread evenly in the group and in the rest: small classes do not differ by chance."""
    quantiles = np.empty(len(group))
    for members in (group, ~group):
        quantiles[members] = (rng.permutation(members.sum()) + rng.random()) / members.sum()
    return np.clip(quantiles, 1e-3, 0.999)


def _write_excel(table: pd.DataFrame, path: Path, sheet: str) -> None:
    """A workbook without the time of writing, so that equal tables give equal bytes."""
    buffer = io.BytesIO()
    table.to_excel(buffer, sheet_name=sheet, index=False)
    with zipfile.ZipFile(buffer) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            content = re.sub(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", b"2000-01-01T00:00:00Z", source.read(name))
            target.writestr(zipfile.ZipInfo(name, (2000, 1, 1, 0, 0, 0)), content, zipfile.ZIP_DEFLATED)


# ---- one patient ----


def draw_patient(seed: int, aggressive: bool, volume: float = 68e3) -> tuple[np.ndarray, np.ndarray]:
    """One patient as `write_cohort` would draw one.

    Args:
        seed: of everything random.
        aggressive: as of `COCCluster` 2.
        volume: of the tumour, mm³.

    Returns:
        (Z, 256, 256, 3) uint8 and (Z, 256, 256) bool, the tumour.
    """
    rng = np.random.default_rng([seed, 5])
    _, centre = _tumour_centre(rng, aggressive)
    return _glioma(rng, int(rng.integers(len(_INSTITUTIONS))), centre, volume, aggressive)[1:]


# ---- the two sets ----


def write_cohort(folder: str | Path, n_patients: int = 110, seed: int = 0, null: bool = False) -> Path:
    """Write a synthetic cohort in the layout of the Kaggle archive `mateuszbuda/lgg-mri-segmentation`.

    Leaves in `folder`:

    - `kaggle_3m/data.csv`: one row a patient, the archive's 18 columns, labels missing at about its rates;
    - `kaggle_3m/<case>/<case>_<n>.tif`: (256, 256, 3) uint8 pre-contrast, FLAIR, post-contrast; pixel about 1 mm,
      slices 5 mm apart: the tumour-bearing ones and one free of tumour at each end. In about one patient in twenty
      pre-contrast, in one in ten post-contrast is missing and filled with FLAIR;
    - `kaggle_3m/<case>/<case>_<n>_mask.tif`: (256, 256) uint8, 255 where FLAIR is abnormal, else 0;
    - `TCGA-CDR-SupplementalTableS1.xlsx` (sheet `TCGA-CDR`: `bcr_patient_barcode`, `OS`, `OS.time` in days) and
      `TCGA_GBM_LGG_Mutations_all.csv` (`Case_ID`, one column a gene), as the public files of these names.

    The arguments decide every byte, given the same versions of the libraries.

    Args:
        folder: created where it is missing.
        n_patients: at least 10. Clusters 1, 2, 3 come as 56 : 24 : 30.
        seed: of everything random.
        null: shuffle `COCCluster` over the finished cohort. The images and all other columns stay as they are without
            `null`, so that nothing in them has to do with the label.

    Returns:
        `folder`, the folder to open.

    Raises:
        ValueError: fewer than 10 patients.
        FileExistsError: `folder` holds a `kaggle_3m` already.
    """
    if n_patients < 10:
        raise ValueError(f"{n_patients} patients are too few for three clusters; at least 10 are needed")
    folder = Path(folder)
    (folder / "kaggle_3m").mkdir(parents=True)
    rng = np.random.default_rng([seed, 0])
    two, three = round(n_patients * 24 / 110), round(n_patients * 30 / 110)
    clusters = rng.permutation(np.repeat([1, 2, 3], [n_patients - two - three, two, three]))
    institutions = np.searchsorted(np.cumsum(list(_INSTITUTIONS.values())), _balanced(rng, clusters == 2))
    volumes = np.clip(68e3 * np.exp(0.65 * ndtri(_balanced(rng, clusters == 2))), 14e3, 220e3).tolist()
    names = [f"PHANTOM_{list(_INSTITUTIONS)[k]}_{i:04d}" for i, k in enumerate(institutions, start=1)]
    lobes, centres = zip(*(_tumour_centre(rng, cluster == 2) for cluster in clusters), strict=True)
    order = rng.permutation(n_patients)
    no_pre = order < max(1, round(n_patients * 6 / 110))
    no_post = order[::-1] < max(1, round(n_patients * 10 / 110))
    for i, name in enumerate(names):
        own = np.random.default_rng([seed, 1, i])
        numbers, images, masks = _glioma(own, institutions[i], centres[i], volumes[i], clusters[i] == 2)
        images[..., [c for c, missing in ((0, no_pre), (2, no_post)) if missing[i]]] = images[..., 1:2]
        case = f"{name}_20000101"
        (folder / "kaggle_3m" / case).mkdir()
        for number, image, mask in zip(numbers, images, masks, strict=True):
            path = folder / "kaggle_3m" / case / f"{case}_{number}.tif"
            Image.fromarray(image).save(path)
            Image.fromarray(mask.astype(np.uint8) * 255).save(path.with_stem(f"{path.stem}_mask"))
    table, survival, mutations = _tables(rng, names, clusters, lobes, [centre[0] > 0 for centre in centres])
    table["COCCluster"] = np.random.default_rng([seed, 2]).permutation(clusters) if null else clusters
    table = table[["Patient", *_CLUSTERS, *_CLINICAL]]
    table.sort_values("Patient").to_csv(folder / "kaggle_3m" / "data.csv", index=False)
    _write_excel(survival, folder / "TCGA-CDR-SupplementalTableS1.xlsx", "TCGA-CDR")
    mutations.to_csv(folder / "TCGA_GBM_LGG_Mutations_all.csv", index=False, encoding="utf-8-sig")
    return folder


def write_glioblastoma(folder: str | Path, n_cases: int = 200, seed: int = 0) -> Path:
    """Write slices of synthetic gliomas, two thirds of them glioblastoma-like, as `pretraining` reads them.

    Leaves in `folder`: `images/BRATS_###_z##.png`, (120, 120) uint8 post-contrast T1 without skull, pixel 2 mm, and
    `labels/` with the same names: 0 background, 1 oedema, 2 non-enhancing core, 3 enhancing. Five or six slices a
    case, 16 mm apart, some free of tumour. Glioblastoma-like: enhancing tissue makes up at least 10 % of the tumour,
    and there is some non-enhancing core. The arguments decide every byte, given the same versions of the libraries.

    Args:
        folder: created where it is missing.
        n_cases: number of cases, 1 to 999.
        seed: of everything random.

    Returns:
        `folder`.

    Raises:
        FileExistsError: `folder` holds `images` or `labels` already.
    """
    folder = Path(folder)
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True)
    like = np.random.default_rng([seed, 3]).permutation(np.arange(n_cases) < round(2 * n_cases / 3))
    for i in range(n_cases):
        numbers, images, labels = _glioblastoma(np.random.default_rng([seed, 4, i]), like[i])
        for number, image, label in zip(numbers, images, labels, strict=True):
            name = f"BRATS_{i + 1:03d}_z{number}.png"
            Image.fromarray(image).save(folder / "images" / name)
            Image.fromarray(label).save(folder / "labels" / name)
    return folder
