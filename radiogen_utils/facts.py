"""What a score is of, a column a fact: the tables of scores, and from facts to words.

A table of scores has the columns `COLUMNS`. Its `FACTS` say of which model a row is; names are never taken apart for
them. The columns `pixels` and `network` are nullable integers, since a simple model has no pixels, and no number a
network whose weights each fit draws anew.
"""

from collections.abc import Iterator, Mapping
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import pandas as pd

from .patches import PATCH_SIZE

NAMES = {"scratch": "from scratch", "natural": "natural images", "gbm": "glioblastoma MRI"}
"""Initialisations in words."""
INPUTS = {"all": "three sequences", "mask": "mask alone"}
"""Sequences in words, where these differ from the fact."""
READOUTS = {"probe": "linear probe", "lp-ft": "LP-FT", "full": ""}
"""Readouts in words; full fine-tuning, the article's, goes without saying."""


@dataclass(frozen=True)
class Model:
    """The facts that make rows those of one model; what is not said is as in the article.

    `str` gives its label in tables and figures.

    Attributes:
        arm: initialisation, one of `NAMES`; or the name of a simple model.
        pretraining: task of the glioblastoma weights, `composition` or `dense`; else "".
        backbone: one of `models.BACKBONES`; or `logistic` or `trees`.
        pixels: side of the patch that the network sees; `None` for a simple model.
        sequences: `FLAIR`, `post-contrast`, `pre-contrast`, `all` or `mask`; "" for a simple model.
        readout: `probe`, `lp-ft` or `full`; "" for a simple model.
        pooling: what features are averaged over, `patch` or `tumour`; "" for a simple model.
        split: of the patients, random `folds`, or leave-one-`institution`-out.

    Example:
        >>> print(Model("gbm", "dense", readout="probe"))
        compact, FLAIR, glioblastoma MRI (dense), linear probe
        >>> print(simple("image features", "trees"))
        image features, trees
    """

    arm: str
    pretraining: str = ""
    backbone: str = "compact"
    pixels: int | None = PATCH_SIZE
    sequences: str = "FLAIR"
    readout: str = "full"
    pooling: str = "patch"
    split: str = "folds"

    @classmethod
    def of(cls, row: Mapping) -> "Model":
        """The model of a row, which may have other columns as well."""
        pixels = row["pixels"]
        return cls(**{name: row[name] for name in FACTS} | {"pixels": None if pd.isna(pixels) else int(pixels)})

    @property
    def is_network(self) -> bool:
        """Whether it is a network and no simple model."""
        return self.arm in NAMES

    def __str__(self) -> str:
        if self.is_network:
            arm = NAMES[self.arm] + (" (dense)" if self.pretraining == "dense" else "")
            parts = [self.backbone, INPUTS.get(self.sequences, self.sequences), arm, READOUTS[self.readout]]
            parts.append("over the tumour" if self.pooling == "tumour" else "")
            parts.append("" if self.pixels == PATCH_SIZE else f"{self.pixels} pixels")
        else:
            parts = [self.arm, self.backbone]
        parts.append("institution left out" if self.split == "institution" else "")
        return ", ".join(filter(None, parts))


FACTS = [field.name for field in fields(Model)]
COLUMNS = [*FACTS, "network", "repeat", "fold", "patient", "y_true", "score"]
"""Of a table of scores: `network` is the number of the pretrained or random network, `score` log-odds."""
NUMBERS = {"pixels": "Int64", "network": "Int64"}

FIRST_STUDY = Model("gbm", "composition")
"""The primary arm of the first study."""
SECOND_STUDY = Model("gbm", "dense", readout="probe")
"""The primary arm of the second study."""


def simple(name: str, model: str, split: str = "folds") -> Model:
    """A simple model: what it looks at, and whether it is `logistic` or `trees`."""
    return Model(name, "", model, None, "", "", "", split)


def table(model: Model, network: int | None = None, **columns: object) -> pd.DataFrame:
    """Rows of one model's scores, with all of `COLUMNS`; `columns` gives those after `network`."""
    facts = dict(zip(FACTS, astuple(model), strict=True))
    return pd.DataFrame(columns | facts | {"network": network})[COLUMNS].astype(NUMBERS).reset_index(drop=True)


def read(path: Path) -> pd.DataFrame:
    """A table with facts, of scores or of AUCs, from CSV; an absent text is "", an absent number is missing."""
    text = {name: str for name in (*FACTS, "patient") if name not in NUMBERS}
    numbers = (*NUMBERS, "score", "auc")
    return pd.read_csv(
        path,
        dtype=text | NUMBERS,
        keep_default_na=False,
        na_values={name: [""] for name in numbers},
        float_precision="round_trip",
    )


def select(rows: pd.DataFrame, **facts: object) -> pd.DataFrame:
    """Rows with these facts.

    Args:
        rows: any table that has these columns.
        facts: value of each column, or several values in a tuple; `None` is a missing number.

    Example:
        >>> rows = pd.DataFrame({"arm": ["gbm", "scratch", "gbm"], "repeat": [0, 0, 1]})
        >>> select(rows, arm="gbm", repeat=(0, 2)).index.tolist()
        [0]
    """
    for name, value in facts.items():
        if value is None:
            chosen = rows[name].isna()
        else:
            chosen = rows[name].isin(value if isinstance(value, tuple) else [value])
        rows = rows[chosen]
    return rows


def of_model(rows: pd.DataFrame, model: Model) -> pd.DataFrame:
    """Rows of one model."""
    return select(rows, **dict(zip(FACTS, astuple(model), strict=True)))


def by_model(rows: pd.DataFrame) -> Iterator[tuple[Model, pd.DataFrame]]:
    """Each model with its rows, in the order in which they come."""
    for values, own in rows.groupby(FACTS, sort=False, dropna=False):
        yield Model.of(dict(zip(FACTS, values, strict=True))), own


def together(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    """The rows of two tables of scores; what both have, of one network in one repeat, is taken from the first."""
    same = [*FACTS, "network", "repeat", "patient"]
    return pd.concat([first, second], ignore_index=True).drop_duplicates(same)


def labelled(rows: pd.DataFrame) -> pd.DataFrame:
    """A table for the eye: the columns of facts give way to an index of the models' labels."""
    labels = [str(Model.of(row)) for row in rows[FACTS].to_dict("records")]
    return rows.drop(columns=FACTS).set_axis(pd.Index(labels, name="model"))
