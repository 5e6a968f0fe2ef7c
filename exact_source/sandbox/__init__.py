"""A local Exact Online on loopback that refuses what Exact is known to refuse.

It serves any client: authorize and token endpoint, every readable endpoint of the API in all its forms,
limits, refusals and, on request, the failures of the real service. It imports nothing from this
project's client.
"""

from .box import Sandbox
from .clock import SandboxClock
from .http.requests import Request, TokenRequest
from .rules.faults import Fault

__all__ = ["Fault", "Request", "Sandbox", "SandboxClock", "TokenRequest"]
