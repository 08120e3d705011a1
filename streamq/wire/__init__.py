"""Payloads on the wire: header byte, msgpack, LZ4, AES-256-GCM, the key ring, and the limits. No sockets, no clock."""

from streamq.wire.codec import Unpacked
from streamq.wire.convert import converter, result_type
from streamq.wire.keys import KeyRing
from streamq.wire.payloads import Payloads

__all__ = ["KeyRing", "Payloads", "Unpacked", "converter", "result_type"]
