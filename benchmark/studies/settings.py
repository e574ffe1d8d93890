"""The paper's studies of MoE-Fusion itself: the ablations of Table 2, the sweeps of Figures 7 and 8."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmark.engine.experiment import MethodSettings
from metrics.errors import unknown

EXPERTS = ((2, 2), (4, 2), (6, 2), (8, 2), (4, 1), (4, 3), (4, 4))
ALPHAS = (1, 5, 10, 20, 40)
SWEEPS = ("experts", "alpha")


@dataclass(frozen=True)
class Setting:
    """One point of a sweep: its name on the axis, the fields it sets, the method that has them."""

    name: str
    fields: dict[str, Any]
    method: MethodSettings


def ablations() -> list[MethodSettings]:
    """Return the four rows of Table 2, the whole model last; the run trains them.

    Reference: Cao et al., "Multi-modal Gated Mixture of Local-to-Global Experts for Dynamic Image Fusion",
        ICCV 2023, section 4.5.
    """
    changes: dict[str, dict[str, Any]] = {
        "w/o MoLE": {"local_experts": False},
        "w/o MoGE": {"global_experts": False},
        "Att-Local": {"local_experts": "attention"},
    }
    rows = [MethodSettings(name="moefusion", label=label, fusion=fusion) for label, fusion in changes.items()]
    return [*rows, MethodSettings(name="moefusion")]


def sweep(kind: str, base: Mapping[str, Any]) -> list[Setting]:
    """Return the points of a sweep.

    Args:
        kind: "experts", how many there are and how many a sample gets (Figure 7); "alpha", the weight of the
            gradient loss (Figure 8).
        base: The fields of the experiment's own `moefusion.FusionConfig`; the point that has them all is the
            experiment's MoE-Fusion, and is not trained twice.

    Raises:
        InputError: There is no such sweep.
    """
    if kind == "experts":
        points: dict[str, dict[str, Any]] = {
            f"E{experts}K{top_k}": {"experts": experts, "top_k": top_k} for experts, top_k in EXPERTS
        }
    elif kind == "alpha":
        points = {f"alpha {alpha}": {"alpha": float(alpha)} for alpha in ALPHAS}
    else:
        raise unknown("sweep", kind, SWEEPS)
    return [Setting(name, fields, _point(name, fields, base)) for name, fields in points.items()]


def _point(name: str, fields: dict[str, Any], base: Mapping[str, Any]) -> MethodSettings:
    if all(base[field] == value for field, value in fields.items()):
        return MethodSettings(name="moefusion")
    return MethodSettings(name="moefusion", label=f"MoE-Fusion {name}", fusion=fields)
