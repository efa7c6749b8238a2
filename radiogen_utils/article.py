"""What the article and its web page report (Buda et al., Radiology: Artificial Intelligence 2020;2(1):e180050).

doi 10.1148/ryai.2019180050

Example:
    The corners of the published curve enclose the area that the article states.

    >>> float(round(np.trapezoid(*ROC.T[::-1]), 3)), AUC["gbm"][0]
    (0.73, 0.73)
"""

from pathlib import Path

import numpy as np

AUC = {"gbm": (0.730, 0.605, 0.844), "scratch": (0.680, 0.538, 0.811), "natural": (0.640, 0.521, 0.763)}
"""AUC with its 95 % confidence interval (low, high), by initialisation."""

MARGIN = 0.05
"""Greatest difference from the published AUC that counts as reproduced; fixed before any result."""

POSITIVES, NEGATIVES = 24, 86
"""Patients of cluster 2, and of the others."""

ROC = np.loadtxt(Path(__file__).with_name("article_roc.csv"), delimiter=",", skiprows=1) / (NEGATIVES, POSITIVES)
"""(30, 2): false- and true-positive rate at the corners of the published curve (Figure 2), read off the vector file."""

FIGURE1 = {
    1: [
        ("TCGA_CS_6666_20011109", 15),
        ("TCGA_DU_6401_19831001", 22),
        ("TCGA_DU_7299_19910417", 27),
        ("TCGA_DU_7306_19930512", 27),
        ("TCGA_HT_A61B_19991127", 41),
    ],
    2: [
        ("TCGA_CS_4941_19960909", 11),
        ("TCGA_DU_7010_19860307", 42),
        ("TCGA_FG_A4MU_20030903", 14),
        ("TCGA_HT_7686_19950629", 15),
        ("TCGA_HT_8106_19970727", 20),
    ],
    3: [
        ("TCGA_DU_7018_19911220", 22),
        ("TCGA_DU_7294_19890104", 27),
        ("TCGA_DU_7302_19911203", 20),
        ("TCGA_FG_7637_20000922", 30),
        ("TCGA_HT_7616_19940813", 22),
    ],
}
"""The published patches (case, slice) of Figure 1, by cluster of clusters."""
