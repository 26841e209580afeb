"""A catalogue is read whole or refused with the file, line and field of everything that is wrong."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from raypipe.catalog import load
from raypipe.catalog.tables import MOST_PROBLEMS
from raypipe.errors import CatalogError, Problem
from raypipe.model.resources import CPU, GPU, MEMORY
from tests.unit.catalog.builders import OFFERINGS, TYPES, folder, market, notes, small

BIG = Path(__file__).parents[3] / ".." / "shared" / "data" / "catalog"
T, O = "instance_types.csv", "offerings.csv"  # noqa: E741 - short, since the table below is wide


def types(old: str, new: str) -> tuple[str, str]:
    assert old in TYPES
    return TYPES.replace(old, new), OFFERINGS


def offerings(old: str, new: str) -> tuple[str, str]:
    assert old in OFFERINGS
    return TYPES, OFFERINGS.replace(old, new)


BROKEN: dict[str, tuple[tuple[str, str], str, int | None, str | None]] = {
    "negative vcpu": (types("m5,amd64,2,", "m5,amd64,-2,"), T, 2, "vcpu"),
    "zero vcpu": (types("m5,amd64,2,", "m5,amd64,0,"), T, 2, "vcpu"),
    "vcpu NaN": (types("m5,amd64,2,", "m5,amd64,NaN,"), T, 2, "vcpu"),
    "vcpu empty": (types("m5,amd64,2,", "m5,amd64,,"), T, 2, "vcpu"),
    "memory inf": (types("amd64,2,8192", "amd64,2,inf"), T, 2, "memory_mib"),
    "memory negative": (types("arm64,2,8192", "arm64,2,-1"), T, 3, "memory_mib"),
    "memory a word": (types("arm64,2,8192", "arm64,2,8GiB"), T, 3, "memory_mib"),
    "negative GPUs": (types("t4,1,", "t4,-1,"), T, 4, "gpu_count"),
    "half a GPU": (types("t4,1,", "t4,0.5,"), T, 4, "gpu_count"),
    "GPU memory a word": (types("t4,1,16384", "t4,1,lots"), T, 4, "gpu_memory_mib"),
    "bad arch": (types("m6g,arm64", "m6g,aarch64"), T, 3, "arch"),
    "no arch": (types("m6g,arm64", "m6g,"), T, 3, "arch"),
    "no name": (types("aws,m5.large,m5", "aws,,m5"), T, 2, "instance_type"),
    "no family": (types("aws,m5.large,m5", "aws,m5.large, "), T, 2, "family"),
    "no provider": (types("aws,m5.large,m5", ",m5.large,m5"), T, 2, "provider"),
    "a type again, otherwise": ((TYPES + "aws,m5.large,m5,amd64,4,8192,,,,\n", OFFERINGS), T, 6, "instance_type"),
    "a cell too many in types": ((TYPES + "aws,m5.xlarge,m5,amd64,4,8192,,,,,9\n", OFFERINGS), T, 6, None),
    "a cell too few in types": ((TYPES + "aws,m5.xlarge,m5,amd64\n", OFFERINGS), T, 6, None),
    "misspelt column of types": (types("vcpu", "vcpus"), T, 1, "vcpu"),
    "a column of types twice": (types("gpu_count,", "gpu_name,"), T, 1, "gpu_name"),
    "types empty": (("", OFFERINGS), T, 1, "provider"),
    "negative price": (offerings("0.077", "-0.077"), O, 4, "usd_per_hour"),
    "price 0": (offerings("0.077", "0"), O, 4, "usd_per_hour"),
    "price below a nano-dollar": (offerings("0.077", "1e-12"), O, 4, "usd_per_hour"),
    "price NaN": (offerings("0.077", "nan"), O, 4, "usd_per_hour"),
    "price inf": (offerings("0.077", "inf"), O, 4, "usd_per_hour"),
    "price too large": (offerings("0.077", "1000001"), O, 4, "usd_per_hour"),
    "price a word": (offerings("0.077", "$0.077"), O, 4, "usd_per_hour"),
    "bad capacity type": (offerings("m5.large,spot", "m5.large,Spot"), O, 3, "capacity_type"),
    "bucket 5": (offerings("spot,0.04,1", "spot,0.04,5"), O, 3, "interruption_bucket"),
    "bucket a word": (offerings("spot,0.04,1", "spot,0.04,<5%"), O, 3, "interruption_bucket"),
    "an offering again, otherwise": ((TYPES, OFFERINGS + "aws,us-east-1,m5.large,spot,0.05,1\n"), O, 7, None),
    "a bucket otherwise": ((TYPES, OFFERINGS + "aws,us-east-1,m5.large,spot,0.04,2\n"), O, 7, None),
    "a cell too many": ((TYPES, OFFERINGS + "aws,us-east-1,m5.large,spot,0.05,1,9\n"), O, 7, None),
    "a cell too few": ((TYPES, OFFERINGS + "aws,us-east-1\n"), O, 7, None),
    "misspelt column": (offerings("usd_per_hour", "usd_per_hours"), O, 1, "usd_per_hour"),
    "a quote left open": ((TYPES, OFFERINGS + 'aws,"us-east-1\n'), O, 7, None),
    "digits set apart": (offerings("0.077", "0.0_77"), O, 4, "usd_per_hour"),
    "digits of another script": (offerings("0.077", "0.\u066077"), O, 4, "usd_per_hour"),
    "a blank in a name": (types("aws,m5.large,m5", "aws, m5.large,m5"), T, 2, "instance_type"),
    "a control character in a name": (types("aws,m5.large,m5", "aws,m5\x1b[31m,m5"), T, 2, "instance_type"),
    "a cell of two lines before": ((TYPES + 'aws,x.y,"a\nb",amd64,4,8192,,,,\n', OFFERINGS), T, 7, "family"),
    "offerings empty": ((TYPES, ""), O, 1, "provider"),
}


def problems_of(path: Path) -> tuple[Problem, ...]:
    with pytest.raises(CatalogError) as caught:
        load(path)
    return caught.value.problems


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_wrong_is_named_by_file_line_and_field(case: str, tmp_path: Path) -> None:
    texts, file, line, field = BROKEN[case]
    first, *more = problems_of(folder(tmp_path, *texts))
    assert (first.file, first.line, first.field) == (str(tmp_path / file), line, field)
    assert first.found
    assert first.expected
    assert not more or "empty" in case, "one mistake, one problem"


@pytest.mark.parametrize("column", ["vcpu", "usd_per_hour"])
def test_a_misspelt_column_is_told_with_the_nearest_spelling(column: str, tmp_path: Path) -> None:
    texts = types("vcpu", "vcpus") if column == "vcpu" else offerings("usd_per_hour", "usd_per_hours")
    (problem,) = problems_of(folder(tmp_path, *texts))
    assert problem.suggestion == f"{column}s"
    assert f"did you mean '{column}s'?" in str(problem)


def test_text_reads_as_file_line_field_found_and_expected(tmp_path: Path) -> None:
    (problem,) = problems_of(folder(tmp_path, *offerings("0.077", "-1")))
    where = f"{tmp_path / O}:4: usd_per_hour: "
    assert str(problem) == f"{where}found '-1', expected dollars an hour above 0 and at most 1000000"


def test_problems_of_both_files_are_reported_together(tmp_path: Path) -> None:
    found = problems_of(folder(tmp_path, TYPES.replace("arm64", "arm"), OFFERINGS.replace("0.096", "x")))
    assert [(Path(one.file or "").name, one.line) for one in found] == [(T, 3), (O, 2)]


def test_a_flood_of_problems_is_cut_short_and_counted(tmp_path: Path) -> None:
    bad = "".join(f"aws,us-east-1,m5.large,spot,{-number},\n" for number in range(1, 61))
    found = problems_of(folder(tmp_path, TYPES, OFFERINGS.splitlines()[0] + "\n" + bad))
    assert len(found) == MOST_PROBLEMS + 1
    assert "more problems" in found[-1].found


@pytest.mark.parametrize("file", [T, O])
def test_a_file_that_is_not_utf8_is_refused(file: str, tmp_path: Path) -> None:
    folder(tmp_path)
    (tmp_path / file).write_bytes((tmp_path / file).read_bytes() + b"aws,caf\xe9\n")
    (problem,) = problems_of(tmp_path)
    assert problem.file == str(tmp_path / file)
    assert problem.expected == "a CSV file in UTF-8"


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path: Path) -> None:
    plain = small(tmp_path)
    (tmp_path / T).write_text(TYPES, encoding="utf-8-sig")
    assert load(tmp_path).digest == plain.digest


def test_no_such_folder_and_a_file_missing(tmp_path: Path) -> None:
    assert [one.file for one in problems_of(tmp_path / "no")] == [str(tmp_path / "no" / name) for name in (T, O)]
    folder(tmp_path)
    (tmp_path / O).unlink()
    assert [one.file for one in problems_of(tmp_path)] == [str(tmp_path / O)]


def test_an_empty_price_is_a_note(tmp_path: Path) -> None:
    catalog = small(tmp_path, *offerings("0.077", ""))
    assert notes(catalog) == {"unpriced-offering": 1}
    assert catalog.notes[0].subject == "aws us-east-1"
    assert {one.instance_type for one in catalog.prices["aws", "us-east-1"]}.isdisjoint({"m6g.large"})


def test_a_price_of_an_unknown_type_is_a_note(tmp_path: Path) -> None:
    catalog = small(
        tmp_path, TYPES, OFFERINGS + "aws,us-east-1,z9.large,spot,1,\naws,us-east-1,z9.large,on-demand,2,\n"
    )
    assert notes(catalog) == {"unknown-instance-type": 2}


def test_identical_duplicates_and_blank_lines_change_nothing(tmp_path: Path) -> None:
    plain = small(tmp_path)
    twice = [text + "\n" + text.partition("\n")[2] for text in (TYPES, OFFERINGS)]
    doubled = small(tmp_path, *twice)
    assert doubled.digest == plain.digest
    assert doubled.prices == plain.prices


def test_the_digest_does_not_depend_on_the_order_of_rows_or_columns(tmp_path: Path) -> None:
    digest = small(tmp_path).digest
    for seed in range(5):
        shuffled = []
        for text in (TYPES, OFFERINGS):
            rows = [line.split(",") for line in text.splitlines()]
            order = list(range(len(rows[0])))
            random.Random(seed).shuffle(order)
            head, *rest = [",".join(row[at] for at in order) for row in rows]
            random.Random(seed + 100).shuffle(rest)
            shuffled.append("\n".join([head, *rest]) + "\n")
        assert small(tmp_path, *shuffled).digest == digest


@pytest.mark.parametrize(
    "texts",
    [
        types("m5,amd64,2,8192", "m5,amd64,2,8191"),
        types("t4,1,", "l4,1,"),
        offerings("0.077", "0.078"),
        offerings("spot,0.04,1", "spot,0.04,2"),
        offerings("us-east-1,m5.large,spot", "us-east-2,m5.large,spot"),
    ],
)
def test_the_digest_changes_with_a_fact(texts: tuple[str, str], tmp_path: Path) -> None:
    assert small(tmp_path).digest != small(tmp_path, *texts).digest


def test_a_row_with_a_zone_wins_there(tmp_path: Path) -> None:
    head, *rest = OFFERINGS.splitlines()
    lines = [head + ",zone", *(line + "," for line in rest)]
    lines += ["aws,us-east-1,m5.large,on-demand,0.2,,b", "aws,us-east-1,m5.large,on-demand,0.3,,elsewhere"]
    catalog = small(tmp_path, TYPES, "\n".join(lines) + "\n")
    found = {
        (one.zone, one.capacity_type): one.usd_nanos_per_hour / 1e9
        for one in market(catalog, zones=("a", "b")).offerings
        if one.instance_type == "m5.large"
    }
    assert found == {("a", "on-demand"): 0.096, ("b", "on-demand"): 0.2, ("a", "spot"): 0.04, ("b", "spot"): 0.04}


def test_a_column_that_nobody_reads_is_noted(tmp_path: Path) -> None:
    head, *rest = OFFERINGS.splitlines()
    misspelt = "\n".join(
        [head.replace("interruption_bucket", "interuption_bucket") + ",{colour}", *(x + "," for x in rest)]
    )
    catalog = small(tmp_path, TYPES.replace("gpu_count", "gpu_cuont"), misspelt + "\n")
    assert [note.message for note in catalog.notes if note.kind == "unknown-column"] == [
        "instance_types.csv: column 'gpu_cuont' is taken for a label (did you mean 'gpu_count'?)",
        "offerings.csv: column 'interuption_bucket' is not read (did you mean 'interruption_bucket'?)",
        "offerings.csv: column '{colour}' is not read",
    ]


def test_where_a_price_comes_from_is_no_surprise(tmp_path: Path) -> None:
    head, *rest = OFFERINGS.splitlines()
    sourced = "\n".join([head + ",basis,source,date", *(line + ",list,page,2026-11" for line in rest)]) + "\n"
    assert small(tmp_path, TYPES, sourced).notes == ()


def test_what_is_noted_is_part_of_the_digest(tmp_path: Path) -> None:
    """A plan tells the notes, so a replay must meet the same."""
    digest = small(tmp_path).digest
    assert small(tmp_path, TYPES, OFFERINGS + "aws,us-east-1,m5.large,spot,,\n").digest != digest


def test_unknown_columns_of_types_become_labels(tmp_path: Path) -> None:
    lines = TYPES.splitlines()
    extra = [lines[0] + ",rack,example.com/tier", lines[1] + ",r1,gold", *(line + ",," for line in lines[2:])]
    catalog = small(tmp_path, "\n".join(extra) + "\n")
    labelled, plain = catalog.type_of("aws", "m5.large"), catalog.type_of("aws", "m6g.large")
    assert labelled is not None
    assert plain is not None
    assert labelled.labels["raypipe.io/rack"] == "r1"
    assert labelled.labels["example.com/tier"] == "gold"
    assert {"raypipe.io/rack", "example.com/tier"}.isdisjoint(plain.labels)


def test_a_type_has_its_gpus_and_what_its_nodes_carry(tmp_path: Path) -> None:
    kind = small(tmp_path).type_of("aws", "g4dn.xlarge")
    assert kind is not None
    assert (kind.category, kind.gpu_name, kind.allocatable[GPU]) == ("g", "t4", 1)
    assert kind.allocatable[CPU] < kind.vcpu_millicores
    assert kind.allocatable[MEMORY] < kind.memory_bytes
    assert kind.labels["karpenter.k8s.aws/instance-gpu-name"] == "t4"
    assert kind.labels["karpenter.k8s.aws/instance-generation"] == "4"
    assert kind.labels["beta.kubernetes.io/arch"] == kind.labels["kubernetes.io/arch"] == "amd64"
    assert small(tmp_path).type_of("aws", "no.such") is None


def test_the_reserve_setting_is_another_type(tmp_path: Path) -> None:
    catalog = small(tmp_path)
    kinds = [catalog.type_of("aws", "m5.large", reserve) for reserve in ("published", "gke", "aks")]
    assert len({kind.allocatable[MEMORY] for kind in kinds if kind}) == 3


@pytest.mark.skipif(not BIG.is_dir(), reason="the large catalogue is not beside this checkout (../shared/data/catalog)")
def test_the_large_catalogue_is_read_whole() -> None:
    catalog = load(BIG)
    assert len(catalog.type_names) == 3_008
    assert sum(map(len, catalog.prices.values())) + notes(catalog).get("unpriced-offering", 0) == 24_728
    assert notes(catalog) == {}


@pytest.mark.skipif(not BIG.is_dir(), reason="the large catalogue is not beside this checkout (../shared/data/catalog)")
def test_the_large_catalogue_is_read_quickly() -> None:
    """0.16 s here (2 cores, 2026-11, best of 3); the promise is 0.5 s, of which CI may take twice."""
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        load(BIG)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 1.0
