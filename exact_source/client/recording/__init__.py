"""Records the replies of a run with masked values, so that a problem can be reproduced elsewhere.

``masks.py`` masks single values and ``documents.py`` whole replies and URLs. ``recorder.py`` writes them to a
folder and checks that no original value is left. ``exact-source sandbox --replay`` serves such a folder.
"""

from .masks import Masks, new_masks
from .recorder import Recorder

__all__ = ["Masks", "Recorder", "new_masks"]
