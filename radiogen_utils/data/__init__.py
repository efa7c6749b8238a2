"""The lower-grade glioma cohort: its files, download, verification and clinical tables."""
