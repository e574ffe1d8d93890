"""Figures for papers, each as PDF and PNG: the same input gives the same bytes with the same versions of libraries."""

from benchmark.figures.average_ranks import critical_difference
from benchmark.figures.distributions import box_plots
from benchmark.figures.gates import experts
from benchmark.figures.scenes import Region, Scene, qualitative, regions
from benchmark.figures.sweeps import sweep

__all__ = ["Region", "Scene", "box_plots", "critical_difference", "experts", "qualitative", "regions", "sweep"]
