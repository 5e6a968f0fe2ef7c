"""Renders the models of the dbt package without dbt, so that the report uses the same SQL.

The models use few of dbt's functions: ``ref``, ``source``, ``var``, ``config``, ``adapter.dispatch`` and
``adapter.quote``. Here ``ref`` is a common table expression, or the table that dbt built.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined

from ..errors import ConfigurationError

QUERIES = Path(__file__).with_name("queries")
# In an installed package, and in a checkout of the repository.
PLACES = (
    Path(__file__).with_name("dbt"),
    Path(__file__).parents[2] / "pipelines" / "dbt",
)
DBT_ONLY = frozenset({"loaded"})  # macros with a substitute here
DEFAULTS: Mapping[str, Any] = {"exact_as_of": ""}


def models_folder() -> Path:
    """The folder of the dbt package.

    Raises:
        ConfigurationError: If it does not exist.
    """
    for folder in PLACES:
        if (folder / "dbt_project.yml").is_file():
            return folder
    raise ConfigurationError(
        "the SQL of the report is missing from this installation; install exact-source again"
    )


class Models:
    """SQL for one database.

    Args:
        folder: The dbt package.
        dialect: dbt's name for the database: duckdb, postgres or bigquery.
        source: Qualified name of a loaded table.
        built: Qualified name of a table that dbt built; ``None`` to compute all figures.
        variables: Values that differ from the defaults in the models.
        quote: Quotes a column name.
        is_loaded: Whether a loaded table can be read.
    """

    def __init__(
        self,
        folder: Path,
        dialect: str,
        source: Callable[[str], str],
        *,
        built: Callable[[str], str] | None = None,
        variables: Mapping[str, Any] = DEFAULTS,
        quote: Callable[[str], str] = '"{}"'.format,
        is_loaded: Callable[[str], bool] = lambda _table: True,
    ) -> None:
        self._dialect = dialect
        self._source = source
        self._built = built
        self._variables = variables
        self._quote = quote
        self._is_loaded = is_loaded
        self._files = {path.stem: path for path in (folder / "models").rglob("*.sql")}
        self._macro_text = "".join(
            p.read_text("utf-8")
            for p in sorted(folder.glob("macros/*.sql"))
            if p.stem not in DBT_ONLY
        )
        self._needed: dict[str, str] = {}

    def query(self, name: str, **values: Any) -> str:
        """The SQL of one of the report's own queries, with the models that it reads.

        Args:
            name: File name in ``queries`` without its suffix.
            values: Values for its template.
        """
        return self.render((QUERIES / f"{name}.sql").read_text("utf-8"), **values)

    def render(self, template: str, **values: Any) -> str:
        """SQL from a template, preceded by the models that it refers to as common table expressions."""
        self._needed = {}
        text = self._environment.from_string(template).render(**self._macros, **values).strip()
        if not self._needed:
            return text
        models = ",\n".join(f"{name} as (\n{sql}\n)" for name, sql in self._needed.items())
        return (
            f"with {models}\n{text}" if text[:4].lower() != "with" else f"with {models},{text[4:]}"
        )

    def dispatch(self, name: str, _package: str | None = None) -> Any:
        """The macro for the database, as dbt's ``adapter.dispatch`` would choose it."""
        return self._macros.get(f"{self._dialect}__{name}") or self._macros[f"default__{name}"]

    def quote(self, name: str) -> str:
        """A quoted column name."""
        return self._quote(name)

    @cached_property
    def _environment(self) -> Environment:
        # SQL, not HTML: nothing must be escaped.
        environment = Environment(
            loader=FunctionLoader(lambda name: self._files[name].read_text("utf-8")),
            undefined=StrictUndefined,
            autoescape=False,  # noqa: S701
        )
        environment.globals |= {
            "adapter": self,
            "exact_is_loaded": self._is_loaded,
            "config": lambda **_settings: "",
            "ref": self._ref,
            "source": lambda _group, table: self._source(table),
            "var": lambda name, default=None: self._variables.get(name, default),
        }
        return environment

    @cached_property
    def _macros(self) -> dict[str, Any]:
        module = self._environment.from_string(self._macro_text).module
        return {k: v for k, v in vars(module).items() if callable(v)}

    def _ref(self, name: str) -> str:
        if self._built is not None:
            return self._built(name)
        if name not in self._needed:
            sql = self._environment.get_template(name).render(**self._macros).strip()
            self._needed[name] = sql  # after the models that it refers to
        return name
