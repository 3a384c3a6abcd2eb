"""Worlds made at random from one seed, and an oracle that judges them: `tcplab simulate`.

plan       what a world is made of          draw       a plan from a seed
rough      the world: a wire that spoils    stage      its applications
streams    every octet once and in order    rules      what always holds inside a host
situation  which errors may happen          play       one world from its plan to its verdict
shrink     the least that still fails       many       seed after seed, in several processes
"""
