"""`.pkt`: packet scripts in packetdrill's language, run on our stack in virtual time or on the kernel's.

`lexer` and `parser` make a `script`; `shell` understands the commands in backticks, which are never run; `runner`
plays the events against a `stack`: `ours` (virtual time) or `kernel` (a TUN device in a fresh namespace).
"""
