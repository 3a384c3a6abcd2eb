"""tcplab: two hosts, one wire, every TCP segment with its reason.

The rooms, top to bottom; an import may only point down:

    cli | tui      one command per file          | the screen, a pure fold of events
    lab            command language, exercises, checks, runner, session
    engines        the only I/O: the loop and its clock, fabrics, namespaces, applications
    host | link    one machine: demux, sockets   | what happens to a frame between hosts
    tcp            one TCP, split by concept
    wire           bytes <-> headers, pcapng
    api            pure data: states, events, snapshots, messages
    rng | units    one seed with named streams   | nanoseconds and sequence numbers
"""

__version__ = "0.1.0"
