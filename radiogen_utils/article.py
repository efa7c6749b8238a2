"""What the article and its web page report (Buda et al., Radiology: Artificial Intelligence 2020;2(1):e180050).

doi 10.1148/ryai.2019180050

Example:
    The corners of the published curve enclose the area that the article states.

    >>> float(round(np.trapezoid(*ROC.T[::-1]), 3)), AUC["gbm"][0]
    (0.73, 0.73)
"""

from pathlib import Path

import numpy as np
import pandas as pd

AUC = {"gbm": (0.730, 0.605, 0.844), "scratch": (0.680, 0.538, 0.811), "natural": (0.640, 0.521, 0.763)}
"""AUC with its 95 % confidence interval (low, high), by initialisation."""

MARGIN = 0.05
"""Greatest difference from the published AUC that counts as reproduced; fixed before any result."""

POSITIVES, NEGATIVES = 24, 86
"""Patients of cluster 2, and of the others."""

ROC = np.loadtxt(Path(__file__).with_name("article_roc.csv"), delimiter=",", skiprows=1) / (NEGATIVES, POSITIVES)
"""(30, 2): false- and true-positive rate at the corners of the published curve (Figure 2), read off the vector file."""

FIGURE1 = {
    cluster: list(zip(rows.case, rows.slice, strict=True))
    for cluster, rows in pd.read_csv(Path(__file__).with_name("article_figure1.csv")).groupby("cluster")
}
"""The patches (case, slice) of Figure 1, by cluster of clusters."""
