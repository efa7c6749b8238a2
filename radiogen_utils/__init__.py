"""Helpers of the course on deep radiogenomics of lower-grade gliomas (Buda et al., 2020)."""
