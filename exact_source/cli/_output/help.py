"""``--help`` in plain text: options in groups, and the first sentence of each command."""

from __future__ import annotations

import re
from typing import Any

from typer.core import TyperCommand, TyperGroup

from .options import CONNECTION, LIMITS, OUTPUT, ROWS, TARGET, WHAT

ARGUMENTS, OWN = "Arguments", "Options"
TYPE = re.compile(r" <[a-z ]+>$")
PANELS = (ARGUMENTS, OWN, WHAT, ROWS, LIMITS, CONNECTION, TARGET, OUTPUT)


class HelpCommand(TyperCommand):
    """A command whose help groups the options by their panel."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write a section for each panel."""
        write_options(self, ctx, formatter)


class HelpGroup(TyperGroup):
    """A group of commands whose help does not shorten summaries."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the options, then the commands."""
        write_options(self, ctx, formatter)
        self.format_commands(ctx, formatter)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write each command with the first sentence of its help."""
        found = [self.get_command(ctx, name) for name in self.list_commands(ctx)]
        longest = 1000  # characters; click would cut the sentence at the width of the terminal
        rows = [(c.name, c.get_short_help_str(longest)) for c in found if c and not c.hidden]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def write_options(command: Any, ctx: Any, formatter: Any) -> None:
    """Write the arguments and options, each in the section of its panel."""
    panels: dict[str, list[tuple[str, str]]] = {name: [] for name in PANELS}
    for param in command.get_params(ctx):
        record = param.get_help_record(ctx)
        if record is not None:
            name, text = record
            # typer adds the type of an argument to its name.
            panels.setdefault(panel_of(param), []).append((TYPE.sub("", name), text))
    for name, records in panels.items():
        if records:
            with formatter.section(name):
                formatter.write_dl(records)


def panel_of(param: Any) -> str:
    """The section of a parameter; ``--help`` belongs to the output."""
    if param.param_type_name == "argument":
        return ARGUMENTS
    if param.name == "help":
        return OUTPUT
    return getattr(param, "rich_help_panel", None) or OWN
