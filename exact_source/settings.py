"""Settings from dlt's providers: environment, ``.dlt/secrets.toml``, ``.dlt/config.toml``.

All settings are in the section ``sources.exact_online``, so ``SOURCES__EXACT_ONLINE__CLIENT_ID`` works.
dlt's ``configspec`` is not used, because it would also accept variables outside the section, such as
``REGION``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from .errors import ConfigurationError

SECTION = "sources.exact_online"

# Each country is a separate environment with its own registration (API 1.1).
REGIONS = {
    "nl": "https://start.exactonline.nl",
    "be": "https://start.exactonline.be",
    "de": "https://start.exactonline.de",
    "uk": "https://start.exactonline.co.uk",
    "us": "https://start.exactonline.com",
    "es": "https://start.exactonline.es",
    "fr": "https://start.exactonline.fr",
}
# Sites whose wall clock may be behind UTC (API 3.5).
ZONE_SLACK_S = {REGIONS["us"]: 12 * 3600.0}
LOOPBACK = {"127.0.0.1", "localhost", "::1"}
QUOTES = ('""', "''", "``", "“”", "„”", "‘’", "«»", "<>")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of the connection of one registered app to one Exact Online site.

    Attributes:
        base_url: Origin such as ``https://start.exactonline.nl``, without a slash at the end.
        client_id: Client id of the registered app.
        client_secret: Client secret of the registered app.
        redirect_uri: Redirect URI exactly as registered with the app.
        token_file: File with the tokens, if ``token_storage`` is ``file``.
        token_key: Fernet key(s), newest first, separated by commas; without one, tokens are plain text.
        token_storage: Where the tokens are stored: ``file``, ``sql`` or ``dlt`` (in a dlt destination).
        token_name: Name of the connection in the table of tokens.
        token_url: SQLAlchemy URL of the database with the tokens, if ``token_storage`` is ``sql``.
        token_destination: Destination with the tokens, if ``token_storage`` is ``dlt``; without it, that
            of the pipeline.
        token_dataset: Dataset with the tokens, if ``token_storage`` is ``dlt``.
        leases: Whether workers share divisions by leases in ``token_url``.
        lease_s: Seconds after which a lease expires if its worker does not renew it.
        max_response_mb: Largest body of a reply in MB (a million bytes), compressed as well as
            decompressed; a larger one ends the stream that it belongs to.
        hash_key: Key with which ``hash_columns`` are hashed.
    """

    base_url: str
    client_id: str
    client_secret: str = field(repr=False)
    redirect_uri: str
    token_file: str = ".dlt/exact_online_tokens.json"  # noqa: S105  (a name, no secret)
    token_key: str | None = field(default=None, repr=False)
    token_storage: str = "file"  # noqa: S105  (a name, no secret)
    token_name: str = "default"  # noqa: S105  (a name, no secret)
    token_url: str | None = field(default=None, repr=False)
    token_destination: str | None = field(default=None, repr=False)
    token_dataset: str = "exact_online"  # noqa: S105  (a name, no secret)
    leases: bool = False
    lease_s: float = 60.0
    max_response_mb: float = 64.0
    hash_key: str | None = field(default=None, repr=False)

    @property
    def zone_slack_s(self) -> float:
        """Seconds by which the site's wall clock may be behind UTC."""
        return ZONE_SLACK_S.get(self.base_url, 0.0)


def without_quotes(text: str) -> str:
    """The text without surrounding spaces and quotes, which pasted values often have."""
    bare = text.strip()
    while len(bare) > 1 and bare[0] + bare[-1] in QUOTES:
        bare = bare[1:-1].strip()
    return bare


def resolve_base_url(region: str, base_url: str | None) -> str:
    """The site's origin, ``https://HOST`` or ``https://HOST:PORT``.

    Args:
        region: Key of ``REGIONS``.
        base_url: Origin that overrides the region, ``None`` for none.

    Raises:
        ConfigurationError: If the region is unknown, or ``base_url`` is not an https origin. Plain http
            is accepted only for loopback, because the bearer token is sent there. The message does not
            repeat ``base_url``, which may contain a password.
    """
    if region not in REGIONS:  # also if base_url overrides it
        raise ConfigurationError(
            f"{SECTION}.region is {region!r}; use one of {' '.join(REGIONS)}, or set base_url"
        )
    if not base_url:
        return REGIONS[region]
    origin = _origin_of(base_url)
    if origin is None:
        raise ConfigurationError(
            f"{SECTION}.base_url must be an https origin such as https://start.exactonline.nl "
            "(http only for loopback), without a user name or password"
        )
    return origin


def _origin_of(url: str) -> str | None:
    """The URL as ``SCHEME://HOST:PORT``; ``None`` if it has other parts or its scheme is not safe."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:  # such as http://[ or a port that is not a number
        return None
    is_safe = parts.scheme == "https" or (parts.scheme == "http" and host in LOOPBACK)
    others = (parts.path.strip("/"), parts.query, parts.fragment, "@" in parts.netloc)
    if not is_safe or not host or any(others):
        return None
    return f"{parts.scheme}://{parts.netloc}"


def configured(name: str) -> str:
    """A setting of the source from dlt's providers, without pasted quotes; empty if it is not set."""
    import dlt  # seconds to import; --help must not pay them

    # dlt.secrets does not look into config.toml, dlt.config not into vaults.
    where = f"{SECTION}.{name}"
    value: Any = dlt.secrets.get(where)
    if value is None:
        value = dlt.config.get(where)
    return "" if value is None else without_quotes(str(value))


def place_of(name: str) -> str:
    """The file or variable from which dlt reads a setting of the source."""
    import dlt

    for provider in dlt.config.config_providers:
        value, variable = provider.get_value(name, Any, "", *SECTION.split("."))
        if value is not None:
            return f".dlt/{provider.name}" if provider.name.endswith(".toml") else variable
    return ".dlt/config.toml"


def wrong_setting(name: str, value: Any, expected: str) -> ConfigurationError:
    """The error for a setting whose value is not of the expected form."""
    return ConfigurationError(
        f"{SECTION}.{name} is {value!r}, but must be {expected}; correct it in {place_of(name)}"
    )


def parse_flag(name: str, value: Any) -> bool:
    """The value of a setting that is true or false.

    Raises:
        ConfigurationError: If it is neither; the message names the setting and its place.
    """
    if (word := str(value).lower()) in {"true", "false"}:
        return word == "true"
    raise wrong_setting(name, value, "true or false")


def load_settings(**overrides: str | None) -> Settings:
    """Settings from the given arguments, otherwise from dlt's providers.

    Raises:
        ConfigurationError: If one is missing or wrong; the message names the setting.
    """

    def read(name: str, default: str | None = None) -> str | None:
        given = without_quotes(overrides.get(name) or "")
        return given or configured(name) or default

    def need(name: str) -> str:
        value = read(name)
        if value is None:
            raise ConfigurationError(
                f"{SECTION}.{name} is not set: run `exact-source init`, or put it in "
                f".dlt/secrets.toml or in SOURCES__EXACT_ONLINE__{name.upper()}"
            )
        return value

    def number(name: str, unit: str) -> float:
        return _parse_number(name, read(name, str(getattr(Settings, name))), unit)

    site = resolve_base_url(read("region", "nl") or "nl", read("base_url"))
    # dlt fills an argument that the caller left out with the configured value.
    if overrides.get("region") != configured("region"):
        _check_asked_for(overrides.get("region"), site)
    return Settings(
        base_url=site,
        client_id=need("client_id"),
        client_secret=need("client_secret"),
        redirect_uri=read("redirect_uri") or "",
        token_file=read("token_file", Settings.token_file) or Settings.token_file,
        token_key=read("token_key"),
        token_storage=read("token_storage", Settings.token_storage) or Settings.token_storage,
        token_name=read("token_name", Settings.token_name) or Settings.token_name,
        token_url=read("token_url"),
        token_destination=read("token_destination"),
        token_dataset=read("token_dataset", Settings.token_dataset) or Settings.token_dataset,
        leases=parse_flag("leases", read("leases", "false")),
        lease_s=number("lease_s", "seconds"),
        max_response_mb=number("max_response_mb", "megabytes"),
        hash_key=read("hash_key"),
    )


def _check_asked_for(region: str | None, site: str) -> None:
    """An explicit region must not be silently overridden by base_url."""
    if region and REGIONS[region] != site:
        raise ConfigurationError(
            f"region {region} is {REGIONS[region]}, but base_url says {site}; leave one of them out"
        )


def _parse_number(name: str, text: str | None, unit: str) -> float:
    try:
        number = float(text or "")
    except ValueError:
        number = 0.0
    if not 1 <= number < float("inf"):
        raise ConfigurationError(f"{SECTION}.{name} is {text!r}; use {unit}, 1 or more")
    return number
