"""The eight metrics of infrared-visible image fusion, in the conventions of four published programs.

`evaluate` scores arrays, `evaluate_files` a triple of files, `evaluate_folder` a folder; `describe` says what each
metric is. Every metric is also a function of its own on uint8 arrays.
"""

from metrics.contrast import average_gradient, spatial_frequency, standard_deviation
from metrics.conventions import CONVENTIONS, IDS, METRICS, describe
from metrics.correlation import sum_of_correlations_of_differences
from metrics.edges import edge_preservation
from metrics.errors import InputError
from metrics.fidelity import visual_information_fidelity
from metrics.folder import evaluate_folder, evaluate_triples
from metrics.information import entropy, mutual_information
from metrics.scoring import evaluate, evaluate_files

__all__ = [
    "CONVENTIONS",
    "IDS",
    "METRICS",
    "InputError",
    "average_gradient",
    "describe",
    "edge_preservation",
    "entropy",
    "evaluate",
    "evaluate_files",
    "evaluate_folder",
    "evaluate_triples",
    "mutual_information",
    "spatial_frequency",
    "standard_deviation",
    "sum_of_correlations_of_differences",
    "visual_information_fidelity",
]
