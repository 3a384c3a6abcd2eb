"""The style sheet. Sizes of columns are set by the main screen; here are borders, grounds and what floats."""

from __future__ import annotations

from typing import Final

from tcplab.tui.draw.theme import ACCENT, BACKGROUND, EDGE, FAINT, RAISED, TEXT, A, B

CSS: Final = f"""
Screen {{ background: {BACKGROUND}; color: {TEXT}; overflow: hidden; }}
#top, #status, #keys, #tabs {{ height: 1; width: 1fr; }}
#body {{ height: 1fr; }}
#upper {{ height: 1fr; }}
.pane {{
    border: round {EDGE}; border-title-color: {FAINT}; border-subtitle-color: {FAINT};
    height: 1fr; width: 1fr;
}}
#lab, #log, #tcb-a, #tcb-b, #lost {{ padding: 0 1; }}
.pane.of-a {{ border-title-color: {A}; }}
.pane.of-b {{ border-title-color: {B}; }}
.pane:focus {{ border: round {ACCENT}; border-title-style: bold; border-title-color: {ACCENT}; }}
.bare .pane, .bare .pane:focus {{ border: none; }}
.bare .pair.pane, .bare .pair.pane:focus {{ border: none; border-right: vkey {EDGE}; }}
#console {{ height: 1; border: none; padding: 0 1; background: {RAISED}; color: {TEXT}; display: none; }}
#console:focus {{ border: none; }}
ModalScreen {{ background: {BACKGROUND} 60%; align: center middle; }}
#box {{
    border: round {ACCENT}; border-title-color: {ACCENT}; border-title-style: bold; border-subtitle-color: {FAINT};
    background: {BACKGROUND}; padding: 0 1;
}}
#edit {{ height: 1; border: none; background: {RAISED}; color: {TEXT}; padding: 0 1; display: none; dock: bottom; }}
#list {{ width: 2fr; }}
#preview {{ width: 1fr; }}
.glyphs-vga .pane {{ border: solid {EDGE}; }}
.glyphs-vga .pane:focus {{ border: solid {ACCENT}; }}
.glyphs-vga #box {{ border: solid {ACCENT}; }}
.glyphs-ascii .pane {{ border: ascii {EDGE}; }}
.glyphs-ascii .pane:focus {{ border: ascii {ACCENT}; }}
.glyphs-ascii #box {{ border: ascii {ACCENT}; }}
.glyphs-vga .bare .pane, .glyphs-ascii .bare .pane {{ border: none; }}
.glyphs-vga .bare .pane:focus, .glyphs-ascii .bare .pane:focus {{ border: none; }}
.mono Screen, .mono ModalScreen, .mono #box, .mono #console, .mono #edit {{
    background: ansi_default; color: ansi_default;
}}
.mono .pane {{ border-title-color: ansi_default; border-subtitle-color: ansi_default; }}
.mono .pane:focus {{ border-title-style: bold reverse; }}
"""
