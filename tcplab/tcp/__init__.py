"""One TCP, split by concept. Sans I/O: every function is told the time through its host's `now`.

seq         comparing sequence numbers          tcb        the variables of one connection
machine     the only writer of a state          input      RFC 9293 3.10.7, segment arrives
ack         what an acceptable ACK changes      output     what may be sent, and sending it
burst       how much of it leaves at once       rate       how fast it is delivered
cc/         reno, cubic, bbr, or your own       ecn        RFC 3168
pacing      not faster than a rate              rate_sample  what one ACK told
timers      one small array a connection        rtt        RFC 6298 with Linux's numbers
recovery    loss: fast retransmit, RTO, PRR     sack       the scoreboard, and the blocks we send
reassembly  segments out of order               window     what we advertise
delack      when to acknowledge                 negotiate  the options of SYN and SYN,ACK
listen      SYN queue and accept queue          syncookie  the queue that needs no memory
timewait    what is left after the close        isn        RFC 6528
sysctl      every knob, documented once         env        what a connection needs of its host
"""
