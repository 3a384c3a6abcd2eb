"""Bytes <-> headers: every `parse` raises only WireError, every `build` can say illegal things.

errors ethernet arp ipv4 icmp tcp tcp_options checksum     the formats
frames     whole frames          text      a frame in words          pcapng     captures that others can open
"""
