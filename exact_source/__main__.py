"""``python -m exact_source`` is the command ``exact-source``."""

from .cli import main

if __name__ == "__main__":
    main()
