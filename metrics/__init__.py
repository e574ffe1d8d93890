"""Metrics of infrared-visible image fusion, each as named published programs compute it.

`evaluate` scores arrays, `evaluate_files` a triple of files, `evaluate_folder` a folder; `describe` says what each
metric is, `select` which are computed. Every metric is also a function of its own on uint8 arrays.
"""

from metrics.conventions import CONVENTIONS, describe
from metrics.definitions.artefacts import fusion_artefacts
from metrics.definitions.contrast import average_gradient, edge_intensity, spatial_frequency, standard_deviation
from metrics.definitions.correlation import correlation_coefficient, sum_of_correlations_of_differences
from metrics.definitions.edges import edge_preservation
from metrics.definitions.errors import mean_squared_error, peak_signal_to_noise_ratio, root_error_per_pixel
from metrics.definitions.features import edge_mutual_information, transform_mutual_information
from metrics.definitions.fidelity import visual_information_fidelity
from metrics.definitions.fusion_fidelity import visual_information_fidelity_for_fusion
from metrics.definitions.information import entropy, mutual_information, relative_entropy
from metrics.definitions.structure import (
    exposure_similarity,
    multiscale_exposure_similarity,
    multiscale_structural_similarity,
    structural_similarity,
)
from metrics.errors import InputError
from metrics.folder import evaluate_folder, evaluate_triples
from metrics.metric import Metric, Rule
from metrics.registry import METRICS, PAPER, select
from metrics.scoring import evaluate, evaluate_files
from metrics.threads import limit_spinning

__all__ = [
    "CONVENTIONS",
    "METRICS",
    "PAPER",
    "InputError",
    "Metric",
    "Rule",
    "average_gradient",
    "correlation_coefficient",
    "describe",
    "edge_intensity",
    "edge_mutual_information",
    "edge_preservation",
    "entropy",
    "evaluate",
    "evaluate_files",
    "evaluate_folder",
    "evaluate_triples",
    "exposure_similarity",
    "fusion_artefacts",
    "mean_squared_error",
    "multiscale_exposure_similarity",
    "multiscale_structural_similarity",
    "mutual_information",
    "peak_signal_to_noise_ratio",
    "relative_entropy",
    "root_error_per_pixel",
    "select",
    "spatial_frequency",
    "standard_deviation",
    "structural_similarity",
    "sum_of_correlations_of_differences",
    "transform_mutual_information",
    "visual_information_fidelity",
    "visual_information_fidelity_for_fusion",
]

limit_spinning()
