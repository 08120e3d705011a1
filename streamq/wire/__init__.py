"""Payloads on the wire: header byte, msgpack, LZ4, AES-256-GCM, the key ring, and the limits. No sockets, no clock."""

from streamq.wire.codec import Unpacked
from streamq.wire.convert import converter, result_type
from streamq.wire.keys import KeyRing
from streamq.wire.payloads import Payloads, payloads_of

__all__ = ["KeyRing", "Payloads", "Unpacked", "converter", "payloads_of", "result_type"]
