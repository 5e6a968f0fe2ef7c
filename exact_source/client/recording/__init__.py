"""Keeps the replies of a run, masked, so that a problem can be reproduced elsewhere.

``masks.py`` masks single values, ``documents.py`` whole replies and addresses, ``recorder.py`` writes them to
a folder and proves that no original value is left. ``exact-source sandbox --replay`` serves such a folder.
"""

from .masks import Masks, new_masks
from .recorder import Recorder

__all__ = ["Masks", "Recorder", "new_masks"]
