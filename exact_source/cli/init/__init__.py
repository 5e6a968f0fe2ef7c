"""``exact-source init``: the settings files, from questions or from flags.

``command.py`` has the options, what a person sees of the files, and the login and check that may follow.
``settings.py`` and ``destination.py`` decide what the files shall say, each for its part, and ask with
``questions.py``; ``toml_files.py`` reads, changes and writes them. All but ``command.py`` are imported when
the command runs: they need dlt and tomlkit.
"""

from .command import init

__all__ = ["init"]
