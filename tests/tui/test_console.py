"""The console learns the language from `help`, so that it completes what there is and nothing else."""

from __future__ import annotations

from tcplab.lab.language import help_text
from tcplab.tui.widgets.console import Console


def test_every_form_of_the_language_can_be_completed() -> None:
    console = Console()
    console.learn(help_text())
    starts = {" ".join(word.split()[:2]) for word in console.words}
    assert {"a connect", "b connect", "b listen", "inject flood", "drop DIR"} <= starts
    assert not any("tcp_syn_retries" in word for word in console.words)
