import dataclasses
import json

import pytest

from moefusion import FusionConfig


def test_presets_differ_exactly_in_what_the_public_code_does_otherwise():
    paper, public = FusionConfig.paper().to_dict(), FusionConfig.public().to_dict()
    assert FusionConfig() == FusionConfig.paper()
    assert {name for name in paper if paper[name] != public[name]} == {
        "gate_input",
        "combine",
        "attention_merge",
        "dense_activation",
    }


@pytest.mark.parametrize(
    "config",
    [
        FusionConfig.paper(),
        FusionConfig.public(),
        FusionConfig(experts=8, top_k=3, alpha=5, local_experts="attention", global_experts=False),
        FusionConfig(local_gate_grid=(16, 20), local_experts=False),
    ],
)
def test_round_trip_through_json(config):
    assert FusionConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_from_dict_fills_in_defaults():
    assert FusionConfig.from_dict({"top_k": 1}) == dataclasses.replace(FusionConfig.paper(), top_k=1)


def test_from_dict_names_the_known_fields():
    with pytest.raises(ValueError, match=r"unknown field of FusionConfig 'topk'; known: experts, top_k, local_gate"):
        FusionConfig.from_dict({"topk": 2})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"experts": 1}, "experts: expected a whole number from 2, got 1"),
        ({"experts": 4.0}, "experts: expected a whole number"),
        ({"experts": True}, "experts: expected a whole number"),
        ({"experts": 5}, "expected an even number"),
        ({"top_k": 0}, "top_k: expected a whole number from 1"),
        ({"top_k": 5}, r"top_k: expected at most experts \(4\), got 5"),
        ({"local_gate_grid": (120,)}, r"local_gate_grid: expected \(height, width\)"),
        ({"global_gate_grid": (60, 0)}, r"global_gate_grid: expected \(height, width\)"),
        ({"gate_input": "scaled"}, "FusionConfig.gate_input: expected 'standardised' or 'raw', got 'scaled'"),
        ({"combine": "sum"}, "FusionConfig.combine: expected 'linear' or 'logsumexp', got 'sum'"),
        ({"attention_merge": "mean"}, "expected 'convolution' or 'maximum', got 'mean'"),
        ({"local_experts": "none"}, "expected True, False or 'attention', got 'none'"),
        ({"local_experts": 1}, "FusionConfig.local_experts: expected True, False or 'attention', got 1"),
        ({"global_experts": "yes"}, "global_experts: expected True or False, got 'yes'"),
        ({"dense_activation": None}, "dense_activation: expected True or False, got None"),
        ({"alpha": -1.0}, "alpha: expected a finite number from 0"),
        ({"alpha": float("nan")}, "alpha: expected a finite number"),
        ({"alpha": "10"}, "alpha: expected a finite number"),
    ],
)
def test_bad_values_are_refused_in_one_line(settings, message):
    with pytest.raises(ValueError, match=message) as refusal:
        FusionConfig(**settings)
    assert "\n" not in str(refusal.value)


def test_an_odd_number_of_experts_is_fine_without_local_experts():
    assert FusionConfig(experts=5, local_experts=False).experts == 5
