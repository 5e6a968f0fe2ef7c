"""``exact-source init``: the settings files, from questions or from flags.

``command.py`` has the options, the output, and the login and check that may follow. ``settings.py`` and
``destination.py`` decide the content of the files, each for its part, and ask with ``questions.py``;
``toml_files.py`` reads, changes and writes them. All but ``command.py`` are imported when
the command runs: they need dlt and tomlkit.
"""

from .command import init

__all__ = ["init"]
