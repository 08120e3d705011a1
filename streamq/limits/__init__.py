"""What limits jobs: rates, slots, order, quotas and circuit breakers, as they are written in code and on command lines.

Everything here is pure: rules and their words, lanes made of arguments, and what an App has declared. The server keeps
and applies them (lua/); ``streamq.limiter`` and ``streamq.steering`` ask it.
"""

from streamq.limits.declared import Breaker, Limit, check_lane
from streamq.limits.rule import Rule

__all__ = ["Breaker", "Limit", "Rule", "check_lane"]
