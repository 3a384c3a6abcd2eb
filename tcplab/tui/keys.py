"""The one table of keys: bindings, the key bar and the help screen are made from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Key:
    """`keys` as Textual names them, by comma; `shown` on the screen; `action` is a method `action_...`.

    `label` is for the key bar (empty: not there), `text` for the help; `group` is the help's heading; `panes` are the
    numbers of the panes in whose bar it stands (empty: in all).
    """

    keys: str
    shown: str
    action: str
    label: str
    text: str
    group: str
    panes: str = ""


TABLE: Final = (
    Key("space", "space", "pause", "pause", "stop the lab's clock, or let it run", "time"),
    Key("full_stop", ".", "step", "step", "exactly one event, then stand still", "time"),
    Key("greater_than_sign", ">", "next_state", "next state", "run to the next change of a state", "time", "123456"),
    Key("J", "J", "jump", "jump", "do not wait: go to the next event at once", "time"),
    Key("left_square_bracket", "[", "slower", "", "half the speed", "time"),
    Key("right_square_bracket", "]", "faster", "", "double the speed", "time"),
    Key("backspace", "bksp", "normal", "", "speed ×1", "time"),
    Key("i", "i", "inject", "inject", "the menu of trouble and traffic", "lab"),
    Key("I", "I", "repeat", "", "inject the last one again", "lab"),
    Key("minus", "-", "clear", "", "take all rules off the wire", "lab"),
    Key("colon", ":", "console", "console", "type a line of the lab's language", "lab"),
    Key("c", "c", "check", "check", "check the exercise now", "lab", "5"),
    Key("h", "h", "hint", "hint", "show the next hint", "lab", "5"),
    Key("S", "S", "solution", "", "show the solution", "lab"),
    Key("n", "n", "next_lab", "", "after the end: back to the list, for the next exercise", "lab"),
    Key("R", "R", "restart", "", "restart the lab (press it twice)", "lab"),
    Key("enter", "enter", "open", "open", "on the wire: the segment in full; on a host: its TCB", "look", "123"),
    Key("escape", "esc", "back", "", "close, go back", "look"),
    Key("up,k", "up k", "up", "", "one row up; on the wire the view then stands still", "look"),
    Key("down,j", "down j", "down", "", "one row down", "look"),
    Key("pageup", "pgup", "page_up", "", "a page up", "look"),
    Key("pagedown", "pgdn", "page_down", "", "a page down", "look"),
    Key("g,home", "g", "first", "", "the first row", "look"),
    Key("G,f,end", "G end", "follow", "follow", "the last row, and follow what comes", "look", "2"),
    Key("r", "r", "raw", "raw", "relative or raw sequence numbers", "look", "2"),
    Key("l", "l", "limits", "limits", "where a queue's limit comes from", "look", "13"),
    Key(
        "d",
        "d",
        "diagram",
        "",
        "the states drawn: where both ends of the connection are, and how they came there",
        "look",
    ),
    Key("v", "v", "space", "", "the sequence space: what is in flight, SACKed, missing, unread", "look"),
    Key("z", "z", "zoom", "zoom", "this pane alone, or all", "look", "123456"),
    Key("tab", "tab", "turn(1)", "", "the next pane", "panes"),
    Key("shift+tab", "s-tab", "turn(-1)", "", "the pane before", "panes"),
    *(
        Key(digit, digit, f"pane('{digit}')", "", f"pane {digit}: {text}", "panes")
        for digit, text in zip(
            "123456",
            ("host a", "the wire", "host b", "the variables (TCB)", "the lab", "the log"),
            strict=True,
        )
    ),
    Key("s", "s", "picture", "", "save the screen as a picture (SVG)", "program"),
    Key("ctrl+l", "^l", "redraw", "", "draw everything again", "program"),
    Key("question_mark,f1", "?", "help", "", "this page", "program"),
    Key("q", "q", "quit", "", "quit (press it twice while a lab runs)", "program"),
    Key("ctrl+q", "^q", "quit_now", "", "quit at once", "program"),
)
GROUPS: Final = (
    ("time", "Time"),
    ("lab", "Lab"),
    ("look", "Look"),
    ("panes", "Panes"),
    ("program", "Program"),
)


def bar(pane: str) -> list[Key]:
    """The keys for the key bar while `pane` has the focus: its own first."""
    shown = [key for key in TABLE if key.label and (not key.panes or pane in key.panes)]
    return sorted(shown, key=lambda key: not (key.panes and len(key.panes) < 4))
