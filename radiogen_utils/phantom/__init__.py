"""The synthetic cohort and its anatomy, for where no patient data can be had."""

from .cohort import write_cohort, write_glioblastoma

__all__ = ["write_cohort", "write_glioblastoma"]
