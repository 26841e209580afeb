"""The same decision again: replayed from a snapshot, from other orders of files and objects, after a round trip."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import pytest
import yaml

from raypipe.cli import main
from raypipe.model.plan import FleetPlan

EXAMPLE = Path(__file__).parents[2] / "examples" / "fleet"


def planned(path: Path, capsys: pytest.CaptureFixture[str], *options: str, command: str = "plan") -> str:
    """The plan as JSON text, without the hour at which it was made."""
    assert main([command, str(path), "-o", "json", "--quiet", *options]) == 0
    lines = capsys.readouterr().out.splitlines()
    return "\n".join(line for line in lines if not line.startswith(' "created_at"'))


def test_a_replay_repeats_the_decision_byte_for_byte(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved = tmp_path / "snapshot.json"
    assert main(["snapshot", str(EXAMPLE), "--out", str(saved), "--quiet"]) == 0
    first = planned(EXAMPLE, capsys)
    assert planned(saved, capsys, command="replay") == first
    assert planned(saved, capsys, command="plan") == first


def test_a_certified_plan_is_the_plain_one_with_a_better_bound_and_is_replayed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved = tmp_path / "snapshot.json"
    assert main(["snapshot", str(EXAMPLE), "--certify", "--out", str(saved), "--quiet"]) == 0
    text = planned(EXAMPLE, capsys, "--certify")
    assert planned(saved, capsys, command="replay") == text
    certified, plain = (FleetPlan.from_json(one) for one in (text, planned(EXAMPLE, capsys)))
    assert certified.inputs.settings != plain.inputs.settings
    assert certified.decision_id != plain.decision_id
    assert certified.usd_per_hour.after == plain.usd_per_hour.after
    for better, one in zip(certified.clusters, plain.clusters, strict=True):
        assert [node.pods for node in better.nodes] == [node.pods for node in one.nodes]
        assert one.usd_per_hour.lower_bound <= better.usd_per_hour.lower_bound <= one.usd_per_hour.after
    assert certified.gap_fraction is not None
    assert plain.gap_fraction is not None
    assert certified.gap_fraction < 0.8 * plain.gap_fraction


def test_another_catalogue_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved, prices = tmp_path / "snapshot.json", tmp_path / "catalog"
    main(["snapshot", str(EXAMPLE), "--out", str(saved), "--quiet"])
    prices.mkdir()
    (prices / "instance_types.csv").write_text(
        "provider,instance_type,family,arch,vcpu,memory_mib,gpu_manufacturer,gpu_name,gpu_count,gpu_memory_mib\n"
        "aws,m5.large,m5,amd64,2,8192,,,0,\n"
    )
    (prices / "offerings.csv").write_text(
        "provider,region,instance_type,capacity_type,usd_per_hour,interruption_bucket,basis\n"
        "aws,us-east-1,m5.large,on-demand,0.096,,test\n"
    )
    assert main(["replay", str(saved), "--catalog", str(prices)]) == 2
    assert "the snapshot was taken with catalogue sha256:" in capsys.readouterr().err


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_files_and_objects_does_not_matter(
    seed: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shuffled = tmp_path / "fleet"
    shutil.copytree(EXAMPLE, shuffled)
    order = random.Random(seed)
    for folder in ("shop", "research"):
        documents = [
            document
            for path in sorted((shuffled / folder).glob("*.yaml"))
            for document in yaml.safe_load_all(path.read_text(encoding="utf-8"))
        ]
        for path in (shuffled / folder).glob("*.yaml"):
            path.unlink()
        order.shuffle(documents)
        for number, document in enumerate(documents):
            path = shuffled / folder / f"{order.randrange(10**6):06d}-{number}.json"
            path.write_text(json.dumps(document), encoding="utf-8")
    assert planned(shuffled, capsys) == planned(EXAMPLE, capsys)


def test_a_plan_survives_json(capsys: pytest.CaptureFixture[str]) -> None:
    main(["plan", str(EXAMPLE), "-o", "json", "--quiet"])
    text = capsys.readouterr().out
    assert FleetPlan.from_json(text).to_json() + "\n" == text
