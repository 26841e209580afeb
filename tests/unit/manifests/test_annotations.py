"""Luna's words and raypipe's: what they say of the node, and which are refused."""

from __future__ import annotations

import time
from typing import Any

import pytest

from raypipe.manifests.regexps import refusal
from raypipe.model.pods import PodSpec
from raypipe.settings import Settings
from tests.unit.manifests.builders import (
    deployment,
    excluded,
    node,
    pod,
    problems,
    ray_spec,
    read,
    template,
    thing,
    wanted,
)


def spec_with(**annotations: Any) -> PodSpec:
    made = {name.replace("__", "/").replace("_", "-"): text for name, text in annotations.items()}
    (group,) = read(deployment(of=template(annotations=made))).demand
    return group.spec


@pytest.mark.parametrize("prefix", ["node.elotl.co__", "raypipe.io__"])
@pytest.mark.parametrize(
    ("name", "text", "field", "value"),
    [
        ("gpu_skus", "T4, nvidia-tesla-l4 ,A10G,T4", "gpu_skus", ("t4", "l4", "a10g")),
        ("max_gpus", "2", "max_gpus", 2),
        ("max_gpus", 2, "max_gpus", 2),
        ("max_cost", "4.75", "max_usd_nanos_per_hour", 4_750_000_000),
        ("max_cost", "$0.10/h", "max_usd_nanos_per_hour", 100_000_000),
        ("offerings", "on-demand,spot", "capacity_types", ("on-demand", "spot")),
        ("family_inclusions", "c7g, M7G", "family_inclusions", ("c7g", "m7g")),
        ("family_exclusions", "t3,t3a", "family_exclusions", ("t3", "t3a")),
        ("type_regexp", "^r6a.xlarge$", "type_regexp", "^r6a.xlarge$"),
    ],
)
def test_instance_annotations(prefix: str, name: str, text: object, field: str, value: object) -> None:
    spec = spec_with(**{f"{prefix}instance_{name}": text})
    assert getattr(spec, field) == value
    assert spec.instance_annotation


def test_raypipes_own_word_wins() -> None:
    spec = spec_with(**{"node.elotl.co__instance_max_gpus": "8", "raypipe.io__instance_max_gpus": "4"})
    assert spec.max_gpus == 4
    assert not spec_with(some__thing="x").instance_annotation


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("max-gpus", "two", "found 'two', expected a whole number of GPUs"),
        ("max-gpus", "²", "found '²', expected a whole number of GPUs"),
        ("max-gpus", "-1", "found '-1', expected a whole number of GPUs"),
        ("max-cost", "-1", "expected dollars an hour between 0 and 1000000"),
        ("max-cost", "NaN", "expected dollars an hour between 0 and 1000000"),
        (
            "offerings",
            "spott",
            "found 'spott', expected one of spot, on-demand, reserved, fargate (did you mean 'spot'?)",
        ),
        (
            "type-regexp",
            "^*.xlarge$",
            "found '^*.xlarge$' (nothing to repeat at position 1), expected a regular expression",
        ),
        ("type-regexp", "(a+)+$", "found '(a+)+$' (a group that repeats), expected a regular expression"),
        ("type-regexp", ["a"], "found a list, expected text"),
        ("gpu-sku", "T4", "(did you mean 'node.elotl.co/instance-gpu-skus'?)"),
    ],
)
def test_annotations_that_are_refused_name_the_field(name: str, text: object, told: str) -> None:
    annotation = f"node.elotl.co/instance-{name}"
    problem = problems(deployment(of=template(annotations={annotation: text})))[0]
    assert f"spec.template.metadata.annotations.{annotation}: " in problem
    assert told in problem


@pytest.mark.parametrize(
    ("one", "near"),
    [
        pytest.param(deployment(of=template(annotations={"raypipe.io/gpu-memroy": "4Gi"})), "gpu-memory", id="a pod"),
        pytest.param(
            thing("RayCluster", spec=ray_spec(), annotations={"raypipe.io/admitt": "true"}), "admit", id="Ray"
        ),
        pytest.param(thing("NodePool", annotations={"raypipe.io/limit": "{}"}), "limits", id="a NodePool"),
    ],
)
def test_our_own_words_misspelt_are_refused(one: dict[str, Any], near: str) -> None:
    (told,) = problems(one)
    assert "metadata.annotations.raypipe.io/" in told
    assert f"expected one that is known (did you mean 'raypipe.io/{near}'?)" in told


def test_words_that_are_near_to_none_of_ours_are_left_alone() -> None:
    assert problems(deployment(of=template(annotations={"raypipe.io/rack": "7"}))) == []


@pytest.mark.parametrize(
    ("pattern", "refused"),
    [
        ("^r6a.xlarge$", False),
        (r"^(c|m|r)[5-9].*\.(large|xlarge|[248]xlarge)$", False),
        (r"^[a-z]+[0-9]+[a-z-]*\.[0-9]*xlarge$", False),
        ("(?i)standard_nc", False),
        ("^(?!.*metal).*xlarge", False),
        ("^*.xlarge$", True),
        ("[", True),
        ("(a+)+$", True),
        ("(a|b)*c", True),
        ("(?:a?){30}", True),
        (r"(a)\1", True),
        ("(?P<n>a)(?P=n)", True),
        ("(a)?(?(1)b|c)", True),
        (".*.*.*.*.*.*.*Z", True),
        (".?" * 60 + "Z", True),
        ("(.|.)" * 39 + "Z", True),
        ("[[a]", True),
        ("a" * 201, True),
        ("a{99999999999}", True),
    ],
)
def test_patterns_are_quick_or_refused(pattern: str, refused: bool) -> None:
    assert (refusal(pattern) is not None) is refused


@pytest.mark.parametrize("pattern", ["^.*.*.*.*Z", ".*.*.*Z", "(.*)(.*)(.*)Z", "a?b?.*.*Z"])
def test_the_slowest_patterns_that_pass_are_quick_on_every_type(pattern: str) -> None:
    import re

    assert refusal(pattern) is None
    started = time.perf_counter()
    for number in range(800):  # as many types as a region has
        assert re.search(pattern, f"Standard_NC96ads_A100_v{number}") is None
    assert time.perf_counter() - started < 1


LABELLED, IGNORED = {"elotl-luna": "true"}, {"pod.elotl.co/ignore": "true"}


@pytest.mark.parametrize(
    ("labels", "annotations", "reason"),
    [
        pytest.param(LABELLED, {}, None, id="the label"),
        pytest.param({}, {"managed": "yes"}, None, id="the annotation"),
        pytest.param(LABELLED, {"managed": "yes"}, None, id="both"),
        pytest.param({}, {}, "not-managed", id="neither"),
        pytest.param(LABELLED, IGNORED, "ignored", id="the label, and to be ignored"),
        pytest.param({}, {"managed": "yes", "raypipe.io/ignore": "true"}, "ignored", id="the annotation, and ignored"),
    ],
)
def test_which_pods_are_managed(labels: dict[str, str], annotations: dict[str, str], reason: str | None) -> None:
    settings = Settings(manage="labelled", managed_annotations={"managed": "yes"})
    of = template(labels=labels, annotations=annotations)
    cluster = read(deployment(replicas=2, of=of), pod("p", of), pod("q", of, node="node-1"), node(), settings=settings)
    keys = {"Deployment/default/web": 2, "Pod/default/p": 1}
    assert wanted(cluster) == ({} if reason else keys)
    assert excluded(cluster) == ({(key, reason): count for key, count in keys.items()} if reason else {})
    assert [one.counted for one in cluster.bound] == [reason is None]


def test_with_manage_all_only_the_ignored_are_left_out() -> None:
    of = template(annotations=IGNORED)
    assert wanted(read(pod("p", of), pod("q"))) == {"Pod/default/q": 1}
