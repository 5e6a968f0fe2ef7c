"""``$metadata`` in, differences and an overlay out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from exact_source.catalogue.catalogue import load_catalogue, parse_entity, read_catalogue
from exact_source.catalogue.feeds import deletes_of, plan_feeds
from exact_source.catalogue.overlay import VARIABLE, VERSION, apply_overlay, overlay_path
from exact_source.errors import ConfigurationError, ContractError
from exact_source.odata.csdl import BrokenMetadataError, EntitySet, parse_csdl
from exact_source.odata.drift import compare, make_overlay, new_name, services_of
from exact_source.sandbox.data.catalogue import Catalogue as SandboxCatalogue
from exact_source.sandbox.odata.metadata import render_metadata

CSDL = """<?xml version="1.0" encoding="utf-8"?>
<edmx:Edmx Version="1.0" xmlns:edmx="http://schemas.microsoft.com/ado/2007/06/edmx">
<edmx:DataServices><Schema Namespace="M" xmlns="http://schemas.microsoft.com/ado/2006/04/edm">
<EntityType Name="T"><Key><PropertyRef Name="ID"/></Key>
<Property Name="ID" Type="Edm.Guid" Nullable="false"/><Property Name="AmountDC" Type="Edm.Double"/>
<Property Name="Factor" Type="Edm.Double"/><Property Name="Where" Type="Edm.GeographyPoint"/>
<NavigationProperty Name="Lines" Relationship="M.R" FromRole="a" ToRole="b"/></EntityType></Schema>
<Schema Namespace="C" xmlns="http://schemas.microsoft.com/ado/2008/09/edm">
<EntityContainer Name="C"><EntitySet Name="Things" EntityType="M.T"/></EntityContainer></Schema>
</edmx:DataServices></edmx:Edmx>"""
BOMB = """<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><x>&b;</x>"""


def things(**columns: str) -> EntitySet:
    return EntitySet("Things", ("ID",), {"ID": "g", **columns}, {}, ())


def test_csdl_of_any_year_becomes_columns_with_letters() -> None:
    (found,) = parse_csdl(CSDL.encode(), "crm").values()

    assert (found.name, found.key) == ("Things", ("ID",))
    assert found.columns == {"ID": "g", "AmountDC": "m", "Factor": "f"}
    assert found.unknown_types == {"Where": "Edm.GeographyPoint"}
    assert found.navigation == ("Lines",)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_document_type_is_refused_in_every_encoding(encoding: str) -> None:
    with pytest.raises(ContractError, match="document type") as caught:
        parse_csdl(BOMB.replace("?>", f' encoding="{encoding}"?>', 1).encode(encoding), "crm")
    assert not isinstance(caught.value, BrokenMetadataError)


@pytest.mark.parametrize(
    "body", [b"", b"<edmx", b"<html><body/></html>", b"<feed/>", CSDL[:500].encode()]
)
def test_a_damaged_document_is_worth_another_try(body: bytes) -> None:
    with pytest.raises(BrokenMetadataError) as caught:
        parse_csdl(body, "crm")
    assert caught.value.broken


def test_metadata_without_types_is_refused() -> None:
    with pytest.raises(ContractError, match="no entity type"):
        parse_csdl(b"<Edmx/>", "crm")


def test_the_sandbox_and_the_catalogue_agree_on_every_service() -> None:
    catalogue, sandbox = load_catalogue(), SandboxCatalogue()
    names = services_of(catalogue.entities.values())
    services = {n: parse_csdl(render_metadata(sandbox, n).encode(), n) for n in names}

    assert not compare(catalogue, services)
    known = {f.path: e.navigation for e in catalogue.entities.values() for f in e.feeds.values()}
    links = {f"{n}/{s.name}": s.navigation for n, sets in services.items() for s in sets.values()}
    assert links["salesinvoice/SalesInvoices"] == known["salesinvoice/SalesInvoices"] != ()
    assert all(set(names) <= set(known[path]) for path, names in links.items())


def test_a_new_endpoint_becomes_an_entity_and_what_cannot_be_read_is_left_out() -> None:
    catalogue = read_catalogue()
    sets = {"Things": things(Modified="t"), "Accounts": things()}
    drift = compare(catalogue, {"crm": sets, "sync/CRM": {"Things": things(Timestamp="l")}})

    assert {"crm/Things", "sync/CRM/Things"} == set(drift.new)
    overlay = make_overlay(catalogue, drift, about={"division": 1})
    assert set(overlay["entities"]) == {"things", "crm_things"}
    assert overlay["entities"]["things"]["feeds"]["regular"]["cursor"] == "Modified"
    assert overlay["entities"]["crm_things"]["feeds"]["sync"]["page"] == 1000


def test_a_new_feed_with_the_name_of_an_entity_becomes_no_feed_of_it() -> None:
    """Its rows may be others (API 4.4): it is a table of its own, whose deletes are found by keys."""
    catalogue = read_catalogue()
    feed = things(EntryID="g", LineNumber="i", Modified="t", Timestamp="l")
    sets = {"Journals": feed, "VATCodes": feed, "Things": feed}
    drift = compare(catalogue, {"sync/Financial": sets, "bulk/Financial": {"Journals": feed}})
    overlay = make_overlay(catalogue, drift, about={})

    assert drift.namesakes == {
        "sync/Financial/Journals": "journals",
        "bulk/Financial/Journals": "journals",
        "sync/Financial/VATCodes": "vat_codes",
    }
    names = {"sync_journals", "bulk_journals", "sync_vat_codes", "things"}
    assert set(overlay["entities"]) == names
    assert overlay["columns"].keys().isdisjoint({"journals", "vat_codes"})
    entities = apply_overlay({}, overlay)
    assert set(entities) == names
    for name in names:
        entity = parse_entity(name, entities[name])
        assert bool(entity.grain) == (name != "things")
        plan = plan_feeds(entity)
        assert deletes_of(entity, plan.column) in {"keys", "full pass"}


def test_an_endpoint_that_is_known_to_be_write_only_is_not_new() -> None:
    catalogue = read_catalogue()
    path = next(p for p, why in catalogue.unread.items() if "GET" in why and p.count("/") == 1)
    service, name = path.split("/")

    assert compare(catalogue, {service: {name: things()}}).new == {}


def load(tmp_path: Path, overlay: Any) -> Any:
    file = tmp_path / "overlay.json"
    file.write_text(json.dumps({"version": VERSION, **overlay}))
    return read_catalogue(file)


def test_columns_are_added_to_the_feeds_that_serve_them_only(tmp_path: Path) -> None:
    change = {"sync": {"add": {"Extra": "t"}, "drop": ["Fax"]}}
    accounts = load(tmp_path, {"columns": {"accounts": change}}).entities["accounts"]

    assert (accounts.columns["Extra"].type_code, accounts.columns["Extra"].name) == ("t", "extra")
    assert "Extra" in accounts.feeds["sync"].columns
    assert "Extra" not in accounts.feeds["bulk"].columns
    assert "Fax" not in accounts.feeds["sync"].columns
    assert "Fax" in accounts.feeds["regular"].columns


def test_keys_and_cursors_are_never_dropped(tmp_path: Path) -> None:
    change = {"sync": {"drop": ["ID", "Division", "Timestamp", "Name"]}}
    sync = load(tmp_path, {"columns": {"accounts": change}}).entities["accounts"].feeds["sync"]

    assert {"ID", "Division", "Timestamp"} <= set(sync.columns)
    assert "Name" not in sync.columns


def test_what_the_shipped_catalogue_has_learnt_since_stays(tmp_path: Path) -> None:
    record = {"service": "crm", "key": ["X"], "columns": {"X": "g"}, "feeds": {}}
    overlay = {
        "columns": {"accounts": {"sync": {"add": {"Name": "i"}}}, "unheard_of": {}},
        "entities": {"accounts": record},
    }
    accounts = load(tmp_path, overlay).entities["accounts"]

    assert accounts.columns["Name"].type_code == "s"
    assert accounts.key == ("ID",)


@pytest.mark.parametrize(
    "overlay",
    [
        {"columns": {"accounts": {"sync": {"add": {"X": "?"}}}}},
        {"columns": []},
        {"entities": {"things": {"service": "crm", "key": [], "columns": {}, "feeds": {}}}},
        {"entities": {"things": 3}},
    ],
)
def test_an_overlay_of_another_form_is_refused(overlay: dict[str, Any]) -> None:
    shipped = {"accounts": {"columns": {"ID": "g"}, "key": ["ID"], "feeds": {"sync": {}}}}
    with pytest.raises(ConfigurationError, match="catalogue_overlay"):
        apply_overlay(shipped, overlay)


def test_the_place_comes_from_the_environment_or_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.delenv("DLT_PROJECT_DIR")
    assert overlay_path() is None
    (tmp_path / ".dlt").mkdir()
    config = tmp_path / ".dlt" / "config.toml"
    config.write_text('[sources.exact_online]\ncatalogue_overlay = "mine.json"\n')
    assert overlay_path() == Path("mine.json")
    config.write_text("sources = 3\n")
    assert overlay_path() is None
    monkeypatch.setenv(VARIABLE, "other.json")
    assert overlay_path() == Path("other.json")
    monkeypatch.setenv(VARIABLE, "")
    assert overlay_path() is None


def test_the_place_is_looked_for_where_dlt_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("DLT_CONFIG_FOLDER", "settings")
    project = tmp_path / "project"  # where DLT_PROJECT_DIR points
    (project / "settings").mkdir()
    config = project / "settings" / "config.toml"
    config.write_text('[sources.exact_online]\ncatalogue_overlay = "mine.json"\n')
    assert overlay_path() == project / "mine.json"
    config.write_text('[sources.exact_online]\ncatalogue_overlay = "/etc/mine.json"\n')
    assert overlay_path() == Path("/etc/mine.json")


@pytest.mark.parametrize(
    ("field", "other"),
    [
        ("GlAccountDescription", "GLAccountDescription"),
        ("division", "Division"),
        ("CreatedUtc", "created_utc"),
        ("_Extra", ""),
        ("Odd_", ""),
        ("2nd", ""),
    ],
)
def test_a_field_whose_column_is_taken_is_left_out_and_refused_by_name(
    tmp_path: Path, field: str, other: str
) -> None:
    catalogue = read_catalogue()
    entity = catalogue.entities["journals"]
    feed = entity.feeds["regular"]
    columns = {f: entity.columns[f].type_code for f in feed.columns} | {field: "s", "Fine": "s"}
    drift = compare(
        catalogue, {"financial": {"Journals": EntitySet("Journals", ("ID",), columns, {}, ())}}
    )
    (change,) = [c for c in drift.changes if c.entity == "journals"]
    assert change.added == {"Fine": "s"}
    assert other in change.clashing[field]
    overlay = make_overlay(catalogue, drift, about={})
    assert overlay["columns"]["journals"]["regular"]["add"] == {"Fine": "s"}

    added = {"regular": {"add": {field: "s"}}}
    with pytest.raises(ConfigurationError, match=f"{field} cannot be a column: .*{other}"):
        load(tmp_path, {"columns": {"journals": added}})


def test_two_new_fields_of_one_column_are_not_both_taken(tmp_path: Path) -> None:
    sets = {"Things": things(NewThing="s", newThing="s")}
    overlay = make_overlay(read_catalogue(), compare(read_catalogue(), {"crm": sets}), about={})
    assert overlay["entities"]["things"]["columns"] == {"ID": "g", "NewThing": "s"}
    loaded = load(tmp_path, {"entities": overlay["entities"]}).entities["things"]
    assert [c.name for c in loaded.columns.values()] == ["id", "new_thing"]


def test_names_of_new_entities_are_free() -> None:
    assert new_name("crm/Things", set()) == "things"
    assert new_name("crm/Things", {"things"}) == "crm_things"
    assert new_name("sync/CRM/Things", {"things", "crm_things"}) == "sync_things"
    assert new_name("sync/CRM/Things", {"things", "crm_things", "sync_things"}) == "sync_crm_things"
