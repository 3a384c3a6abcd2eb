"""What the panes show, as styled lines: pure functions of views and rows."""
