"""What makes a lab of two hosts and a wire: the command language, exercises, checks, the runner, the session.

language   one parser for every line        exercise   the file format, read strictly
actions    what lines do to a world         checks     facts from the trace
runner     scripts, stops, predictions      verbs      what a person tells a running lab
views      the snapshot                     check_pack exercises prove themselves
session    the boundary to a screen         server     the engine process
"""
