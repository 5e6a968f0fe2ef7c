"""Keeps tests apart from each other and from the machine."""

from __future__ import annotations


def forget_settings() -> None:
    """Let dlt read the settings files of this test; it has read those of an earlier one."""
    from dlt.common.configuration.container import Container
    from dlt.common.configuration.specs.pluggable_run_context import PluggableRunContext

    Container()[PluggableRunContext].reload_providers()
