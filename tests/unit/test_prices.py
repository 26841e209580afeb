"""Prices of types, GPUs and shapes on a catalogue small enough to do the sums by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from raypipe.catalog import Catalog, load
from raypipe.cli import main
from raypipe.errors import InputError
from raypipe.prices import Shape, compare_shapes, parse_shape, pod, quotes
from raypipe.report.prices import render_quotes, render_shapes
from raypipe.settings import Settings

TYPES = """\
provider,instance_type,family,arch,vcpu,memory_mib,gpu_manufacturer,gpu_name,gpu_count,gpu_memory_mib,\
allocatable_cpu_m,allocatable_memory_mib,allocatable_pods
aws,m7g.xlarge,m7g,arm64,4,16384,,,0,,3900,14000,58
aws,m7g.2xlarge,m7g,arm64,8,32768,,,0,,7900,29000,58
aws,inf2.xlarge,inf2,amd64,4,16384,aws,inferentia2,1,32768,3900,14000,58
aws,g4dn.xlarge,g4dn,amd64,4,16384,nvidia,t4,1,16384,3900,14000,29
aws,g4dn.12xlarge,g4dn,amd64,48,196608,nvidia,t4,4,16384,47000,180000,200
aws,p4d.24xlarge,p4d,amd64,96,1179648,nvidia,a100,8,40960,95000,1100000,200
gcp,n2-standard-8,n2,amd64,8,32768,,,0,,7900,29000,110
"""
OFFERINGS = """\
provider,region,instance_type,capacity_type,usd_per_hour,interruption_bucket,basis,zone
aws,us-east-1,m7g.xlarge,on-demand,0.16,,made up,
aws,us-east-1,m7g.xlarge,spot,0.06,1,made up,
aws,us-east-1,m7g.2xlarge,on-demand,0.32,,made up,
aws,us-east-1,m7g.2xlarge,spot,0.13,2,made up,us-east-1a
aws,us-east-1,m7g.2xlarge,spot,0.11,0,made up,us-east-1b
aws,us-east-1,inf2.xlarge,on-demand,0.01,,made up,
aws,us-east-1,g4dn.xlarge,on-demand,0.50,,made up,
aws,us-east-1,g4dn.xlarge,spot,0.20,,made up,
aws,us-east-1,g4dn.12xlarge,on-demand,3.90,,made up,
aws,us-east-1,g4dn.12xlarge,spot,0.70,,made up,
aws,us-east-1,p4d.24xlarge,on-demand,32.00,,made up,
aws,us-west-2,m7g.xlarge,on-demand,0.17,,made up,
gcp,us-central1,n2-standard-8,on-demand,0.30,,made up,
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "instance_types.csv").write_text(TYPES)
    (tmp_path / "offerings.csv").write_text(OFFERINGS)
    return tmp_path


@pytest.fixture
def catalog(folder: Path) -> Catalog:
    return load(folder)


def test_a_type_is_quoted_in_every_region(catalog: Catalog) -> None:
    found = quotes(catalog, words=["M7G.xlarge"])
    assert [(one.region, one.on_demand_usd_per_hour, one.spot_usd_per_hour) for one in found] == [
        ("us-east-1", 0.16, 0.06),
        ("us-west-2", 0.17, None),
    ]


def test_the_cheapest_zone_counts(catalog: Catalog) -> None:
    (one,) = quotes(catalog, words=["m7g.2xlarge"])
    assert (one.spot_usd_per_hour, one.interruption_bucket, one.on_demand_usd_per_hour) == (0.11, 0, 0.32)


@pytest.mark.parametrize("word", ["t4", "NVIDIA-Tesla-T4", "g4dn"])
def test_a_gpu_by_any_of_its_names_and_a_family(catalog: Catalog, word: str) -> None:
    assert [one.instance_type for one in quotes(catalog, words=[word])] == ["g4dn.xlarge", "g4dn.12xlarge"]


def test_a_shape_is_quoted_by_what_holds_it_the_cheapest_first(catalog: Catalog) -> None:
    found = quotes(catalog, spec=pod(cpu="4", memory="16Gi"))
    assert [one.instance_type for one in found][:3] == ["m7g.2xlarge", "n2-standard-8", "g4dn.12xlarge"]
    assert quotes(catalog, spec=pod(cpu="400")) == ()
    assert "nothing on offer" in render_quotes(())


def test_what_is_never_bought_unless_named_is_quoted_where_it_is(catalog: Catalog) -> None:
    assert "inf2.xlarge" not in {one.instance_type for one in quotes(catalog, spec=pod(cpu="1"))}
    assert [one.instance_type for one in quotes(catalog, words=["inf2"])] == ["inf2.xlarge"]


def test_settings_change_prices(catalog: Catalog) -> None:
    (one, _) = quotes(catalog, words=["m7g.xlarge"], settings=Settings(price_multiplier=0.5))
    assert one.on_demand_usd_per_hour == 0.08


def test_an_unknown_word_or_place_has_its_nearest_spelling(catalog: Catalog) -> None:
    with pytest.raises(InputError, match=r"'m7g\.xlrage'.*did you mean 'm7g\.xlarge'"):
        quotes(catalog, words=["m7g.xlrage"])
    with pytest.raises(InputError, match=r"--region: found 'us-east1'.*did you mean 'us-east-1'"):
        quotes(catalog, words=["t4"], region="us-east1")


@pytest.mark.parametrize("text", ["", "x", "2", "2x", "0x1", "2x1:", "20000x1", "2x1:t4;rm", "-1x2"])
def test_a_shape_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="--shape"):
        parse_shape(text)


def test_wrong_quantities_are_told_together() -> None:
    with pytest.raises(InputError, match=r"--cpu: .*\n--memory: "):
        pod(cpu="many", memory="-1")


def test_shapes_are_compared_by_what_would_be_bought(catalog: Catalog) -> None:
    shapes = [Shape(replicas=4, gpus=1, kinds=("t4",)), Shape(replicas=1, gpus=8), Shape(replicas=1, gpus=16)]
    found = {(one.shape, one.capacity_type): one for one in compare_shapes(catalog, shapes)}
    best = found["4x1:t4", "spot"]
    assert (best.usd_per_hour, best.nodes, best.chosen) == (0.7, {"g4dn.12xlarge": 1}, True)
    assert found["4x1:t4", "on-demand"].nodes == {"g4dn.xlarge": 4}
    assert found["4x1:t4", "on-demand"].why_not == "costs 185.7% more"
    assert found["1x8", "on-demand"].nodes == {"p4d.24xlarge": 1}
    assert found["1x8", "spot"].usd_per_hour is None
    assert (found["1x16", "spot"].why_not or "").startswith("gpu: ")


def test_the_tables_fit_eighty_columns(catalog: Catalog) -> None:
    text = render_quotes(quotes(catalog, spec=pod(cpu="1")), 80)
    assert max(map(len, text.splitlines())) <= 80
    text = render_shapes(compare_shapes(catalog, [parse_shape("4x1:t4")]), 80)
    assert "CHOSEN" in text
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["m7g.xlarge"], 0, "us-west-2"),
        (["--shape", "2x1:t4"], 0, "2 × g4dn.xlarge"),
        (["--gpu", "1", "-o", "json"], 0, '"g4dn.xlarge"'),
        (["--gpu-sku", "t4", "-o", "yaml"], 0, "instance_type: g4dn.xlarge"),
        ([], 2, "name a TYPE or GPU"),
        (["m7g.xlrage"], 2, "did you mean 'm7g.xlarge'"),
        (
            ["m7g.xlarge", "--provider", "gcp"],
            2,
            "a family or a GPU of the catalogue in gcp",
        ),
        (["--gpu-sku", "t5"], 2, "--gpu-sku: found 't5', expected a GPU of the catalogue"),
        (["--shape", "2x1:t5"], 2, "--shape: found 't5', expected a GPU of the catalogue in aws us-east-1"),
        (["--shape", "2x1", "--gpu-sku", "t5"], 2, "--gpu-sku: found 't5', expected a GPU of the catalogue in aws"),
        (["t4", "--shape", "2x1"], 2, "name kinds within the shape"),
        (["--cpu", "400"], 0, "nothing on offer has so much room"),
    ],
)
def test_the_command(
    folder: Path, arguments: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["prices", *arguments, "--catalog", str(folder)]) == code
    printed = capsys.readouterr()
    assert said in (printed.err if code else printed.out)
