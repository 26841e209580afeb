"""The Python door: names for executors, settings from files, values of the wrong kind refused in words."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import pytest

from raypipe import api
from raypipe.catalog.tables import SHIPPED
from raypipe.errors import CatalogError, InputError, SettingsError
from raypipe.model.snapshot import ClusterSnapshot, FleetSnapshot
from raypipe.settings import CERTIFY_SEARCH, Settings

FLEET = FleetSnapshot(clusters=(ClusterSnapshot(name="empty"),))


@pytest.mark.parametrize("name", [None, "auto", "serial"])
def test_an_executor_is_known_by_its_name(name: str | None) -> None:
    assert api.plan(FLEET, executor=name).clusters == api.plan(FLEET).clusters


@pytest.mark.parametrize(
    ("options", "said"),
    [
        pytest.param({"executor": "seriel"}, "did you mean 'serial'?", id="an executor misspelt"),
        pytest.param({"scope": "whol"}, r"did you mean 'whole'\?", id="a scope misspelt"),
        pytest.param({"settings": 3}, "settings: found 3, expected Settings or a mapping", id="settings of no kind"),
        pytest.param({"settings": "x.yaml"}, r"a file: load_settings\(path\)", id="a file in the place of settings"),
        pytest.param({"settings": {"gap_target": 1}}, "did you mean 'gap_target_fraction'", id="a setting misspelt"),
    ],
)
def test_a_wrong_option_is_refused_in_words(options: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        api.plan(FLEET, **options)


def test_settings_are_read_from_every_document_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text("gap_target_fraction: 0.1\n---\n---\nburstable: list\n")
    assert api.load_settings(path) == Settings(gap_target_fraction=0.1, burstable="list")
    path.write_text("")
    assert api.load_settings(path) == Settings()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param("- a\n", ":1: found a list, expected settings in YAML", id="a list"),
        pytest.param("a: 1\n---\nword\n", ":3: found 'word', expected settings in YAML", id="a word after them"),
        pytest.param("a: [", "expected YAML in UTF-8", id="no YAML"),
        pytest.param(None, "settings.yaml: found No such file or directory, expected settings", id="no file"),
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path: Path, content: str | None, said: str) -> None:
    path = tmp_path / "settings.yaml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError) as refused:
        api.load_settings(path)
    assert said in str(refused.value)


def test_a_wrong_setting_has_its_line_in_any_document(tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text("burstable: list\n---\n\ngap_target: 1\nlp_rounds: -1\n")
    with pytest.raises(SettingsError) as refused:
        api.load_settings(path)
    first, second = str(refused.value).splitlines()
    assert first.startswith(f"{path}:4: settings.gap_target: unknown setting")
    assert second.startswith(f"{path}:5: settings.lp_rounds: found -1")


def test_a_certificate_is_a_budget_of_every_cluster_that_has_none() -> None:
    own = ClusterSnapshot(name="own", settings=Settings(certify_search=7))
    fleet = FleetSnapshot(clusters=(ClusterSnapshot(name="none"), own))
    certifying = api.certifying(fleet)
    assert [one.settings.certify_search for one in certifying.clusters] == [CERTIFY_SEARCH, 7]
    plain, certified = api.plan(fleet), api.plan(fleet, certify=True)
    assert certified.inputs == api.plan(certifying).inputs
    assert certified.inputs.settings != plain.inputs.settings
    assert certified.decision_id != plain.decision_id


def test_a_folder_of_prices_is_believed_as_long_as_the_planner_lives(tmp_path: Path) -> None:
    fleet = api.read("examples/fleet", settings={"lp_rounds": 2, "search_nodes": 1})
    for file in SHIPPED.glob("*.csv"):
        shutil.copy(file, tmp_path)
    good = (tmp_path / "offerings.csv").read_text(encoding="utf-8")
    with api.Planner("serial") as planner:
        first = planner.plan(fleet, tmp_path)
        (tmp_path / "offerings.csv").write_text(good.replace(",spot,0.", ",spot,99."), encoding="utf-8")
        absurd = planner.plan(fleet, tmp_path)
        (tmp_path / "offerings.csv").unlink()
        unread = planner.plan(fleet, tmp_path)
    assert first == dataclasses.replace(api.plan(fleet), created_at=first.created_at)
    assert [plan.usd_per_hour for plan in (absurd, unread)] == [first.usd_per_hour] * 2
    assert {note.kind for note in absurd.notes} - {note.kind for note in first.notes} == {"absurd-price"}
    assert {note.kind for note in unread.notes} - {note.kind for note in absurd.notes} == {"old-prices"}
    with pytest.raises(CatalogError, match=r"offerings.csv: found no such file"):
        api.plan(fleet, tmp_path)
