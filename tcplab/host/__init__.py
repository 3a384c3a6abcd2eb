"""One machine: what stands between its frames and its TCP, and between its applications and its TCP.

machine   the whole: frames in and out, the timer heap, the demultiplexer
sockets   BSD calls, errno-exact, non-blocking       ports   who may use which port
arp       neighbours                                 icmp    echo, errors
view      snapshots
"""
