"""Settings come from every place that dlt knows."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import pytest
from dlt.common.configuration.container import Container
from dlt.common.configuration.specs.pluggable_run_context import PluggableRunContext

from exact_source.auth import FileTokenStorage
from exact_source.errors import ConfigurationError
from exact_source.settings import REGIONS, Settings, load_settings, resolve_base_url
from exact_source.source import make_options, make_run


def write(tmp_path: Path, file: str, **values: str) -> None:
    folder = tmp_path / "project" / ".dlt"
    folder.mkdir(exist_ok=True)
    lines = [f'{name} = "{value}"' for name, value in values.items()]
    (folder / file).write_text("\n".join(["[sources.exact_online]", *lines, ""]))


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings of a project with two files and one variable."""
    for name in [n for n in os.environ if n.startswith("SOURCES__EXACT_ONLINE__")]:
        monkeypatch.delenv(name)
    write(
        tmp_path, "config.toml", region="us", redirect_uri="https://x.example/", token_file="t.json"
    )
    write(tmp_path, "secrets.toml", client_id="id", client_secret="secret")
    monkeypatch.setenv("SOURCES__EXACT_ONLINE__TOKEN_FILE", "from-environment.json")
    Container()[PluggableRunContext].reload_providers()
    return load_settings()


def test_both_files_are_read_and_the_environment_comes_first(site: Settings) -> None:
    assert site == Settings(
        base_url=REGIONS["us"],
        client_id="id",
        client_secret="secret",
        redirect_uri="https://x.example/",
        token_file="from-environment.json",
    )


def test_a_country_that_does_not_exist_is_refused_also_beside_a_base_url(
    site: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCES__EXACT_ONLINE__BASE_URL", REGIONS["be"])
    with pytest.raises(ConfigurationError, match="region is 'mars'; use one of nl be"):
        load_settings(region="mars")
    monkeypatch.setenv("SOURCES__EXACT_ONLINE__REGION", "mars")
    with pytest.raises(ConfigurationError, match="region is 'mars'"):
        load_settings()


def test_a_country_that_was_asked_for_is_not_passed_over(
    site: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCES__EXACT_ONLINE__BASE_URL", REGIONS["be"])
    for more in ({}, {"base_url": REGIONS["be"]}):
        with pytest.raises(ConfigurationError, match=r"region nl is .*nl, but base_url says .*be"):
            load_settings(region="nl", **more)
    assert (
        load_settings(region="us").base_url == REGIONS["be"]
    )  # as dlt fills in the configured one
    assert load_settings(region="be").base_url == REGIONS["be"]
    assert load_settings().base_url == REGIONS["be"]  # the configured country is only a default
    assert load_settings(base_url=REGIONS["de"]).base_url == REGIONS["de"]


@pytest.mark.parametrize(
    "base_url",
    [
        "https://jan:hush-hush@start.exactonline.nl",
        "https://hush-hush@start.exactonline.nl",
        "http://:hush-hush@127.0.0.1:8080",
        "https://start.exactonline.nl/api?key=hush-hush",
        "https://start.exactonline.nl#hush-hush",
        "https://start.exactonline.nl:hush-hush",
        "http://[hush-hush",
        "hush-hush",
    ],
)
def test_an_address_that_is_no_origin_is_refused_and_not_repeated(base_url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        resolve_base_url("nl", base_url)

    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("base_url", ["https://exact.example:8443/", "http://127.0.0.1:80"])
def test_an_origin_is_taken_without_its_slash(base_url: str) -> None:
    assert resolve_base_url("nl", base_url) == base_url.rstrip("/")


@pytest.mark.parametrize(("region", "slack_s"), [(None, 12 * 3600), ("nl", 0)])
def test_a_site_west_of_utc_gets_its_slack_however_it_was_chosen(
    site: Settings, tmp_path: Path, region: str | None, slack_s: float
) -> None:
    chosen = load_settings(region=region)

    run = make_run(make_options(), chosen, FileTokenStorage(tmp_path / "tokens.json"))

    assert run.options.zone_slack_s == slack_s


@pytest.mark.parametrize(
    "name", ["change_log", "raw_codes", "retry_refused", "strict", "utc_instants"]
)
@pytest.mark.parametrize("value", ["maybe", "true", 3])
def test_an_argument_that_is_true_or_false_takes_nothing_else(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=name):
        make_options(**{name: value})


@pytest.mark.parametrize("days", [None, math.inf])
def test_keys_are_never_compared(days: float | None) -> None:
    assert make_options(reconcile_days=days).reconcile_s is None


@pytest.mark.parametrize("days", [-1, math.nan, "often"])
def test_days_that_are_no_interval_are_refused(days: Any) -> None:
    with pytest.raises(ConfigurationError, match="reconcile_days"):
        make_options(reconcile_days=days)
