"""Instances are what they are called, the same every time; the command line names what there is."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from raypipe.catalog import Catalog, load
from raypipe.manifests import read_paths
from tests.benchmark.__main__ import asked, listing
from tests.benchmark.instances import HOSTNAME, MOST_APART, ZONE, Object, instance
from tests.benchmark.measure import Watch
from tests.benchmark.suite import OLD_NODES, ROWS, SHARED, folder_of


def rule_of(one: Object) -> str:
    """What a Deployment of the benchmark asks of its pods' places, in a word."""
    spec = one["spec"]["template"]["spec"]
    own = one["spec"]["selector"]
    for affinity, terms in spec.get("affinity", {}).items():
        (term,) = terms["requiredDuringSchedulingIgnoredDuringExecution"]
        assert term["labelSelector"] == own
        return f"{affinity} {term['topologyKey']}"
    for constraint in spec.get("topologySpreadConstraints", ()):
        assert constraint["labelSelector"] == own
        return f"spread {constraint['topologyKey']} {constraint['maxSkew']}"
    return ""


def test_constrained_services_have_their_shares_of_rules_and_all_their_pods() -> None:
    made = instance("constrained", 1000, 80, 1)
    assert sum(one["spec"]["replicas"] for one in made) == 1000
    assert Counter(map(rule_of, made)) == {
        f"podAntiAffinity {HOSTNAME}": 20,
        f"spread {ZONE} 1": 12,
        f"spread {HOSTNAME} 2": 8,
        "": 40,
    }
    assert all(one["spec"]["replicas"] <= MOST_APART for one in made if "Anti" in rule_of(one))


def test_rules_are_all_that_constrained_adds_to_services() -> None:
    plain, ruled = instance("services", 1000, 80, 3), instance("constrained", 1000, 80, 3)
    for one in ruled:
        one["spec"]["template"]["spec"].pop("affinity", None)
        one["spec"]["template"]["spec"].pop("topologySpreadConstraints", None)
    assert ruled == plain


@pytest.mark.parametrize("pods", [1000, 5003])
def test_karpenters_mix_has_a_fifth_of_each_rule(pods: int) -> None:
    made = instance("karpenter", pods, 0, 1)
    counts: Counter[str] = Counter()
    for one in made:
        counts[rule_of(one)] += one["spec"]["replicas"]
    fifth = pods // 5
    assert counts == {
        "": fifth + pods % 5,
        f"spread {ZONE} 1": fifth,
        f"spread {HOSTNAME} 1": fifth,
        f"podAffinity {ZONE}": fifth,
        f"podAntiAffinity {HOSTNAME}": fifth,
    }
    assert all(one["spec"]["replicas"] <= MOST_APART for one in made if "Anti" in rule_of(one))


@pytest.mark.parametrize(
    ("words", "rows", "peers", "seeds"),
    [
        pytest.param([], set(), set(), None, id="the main job by itself"),
        pytest.param(
            ["--rows", "services-1000,peers"], {"services-1000"}, {"services-1000"}, None, id="one row and peers"
        ),
        pytest.param(["--rows", "existing", "--quick"], {"existing-1000", "existing-none"}, set(), 1, id="one seed"),
        pytest.param(["--rows", "services", "--seeds", "2"], set(), set(), 2, id="a row of the main job"),
    ],
)
def test_rows_are_asked_for_by_group_or_name(
    words: list[str], rows: set[str], peers: set[str], seeds: int | None
) -> None:
    found = asked(words)
    assert ({row.name for row in found.rows}, set(found.peers), found.seeds) == (rows, peers, seeds)


def test_an_unknown_row_is_refused_with_the_names_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        asked(["--rows", "servces"])
    assert "services-1000" in capsys.readouterr().err
    assert all(row.name in listing() for row in ROWS)


def test_the_first_packing_is_the_first_cost_told_before_the_cluster_is_done() -> None:
    seconds = iter([0.0, 1.0, 2.0, 3.0])
    watch = Watch(clock=lambda: next(seconds))
    watch("planning 1 cluster(s)")
    assert watch.first_s is None
    watch("benchmark: $4.5/h so far")
    watch("benchmark: $4.4/h so far")
    assert watch.first_s == 1.0
    late = Watch(clock=lambda: 0.0)
    late("1/1 benchmark: $4.37/h, bound $4.028/h")
    assert late.first_s is None


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return load(SHARED / "catalog")


@pytest.mark.skipif(not SHARED.is_dir(), reason="no catalogue and traces beside this checkout")
def test_existing_nodes_hold_what_is_left_of_another_demand(catalog: Catalog, tmp_path: Path) -> None:
    row = next(row for row in ROWS if row.name == "existing-1000")
    cluster = read_paths([folder_of(row, 1, catalog, tmp_path)]).clusters[0]
    assert cluster.error is None
    assert (len(cluster.nodes), all(node.open for node in cluster.nodes)) == (OLD_NODES, True)
    assert sum(group.count for group in cluster.demand) == row.pods
    bound = sum(pods.count for pods in cluster.bound)
    assert 500 < bound < 4000
    assert {pods.key.split("/")[2].split("-")[0] for pods in cluster.bound} == {"old"}
