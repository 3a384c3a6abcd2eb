"""The screen: it pulls snapshots, folds events into rows, and draws them; the only way back is a line of the language.

`model` is the pure fold; `draw/` turns views into styled lines without Textual; `widgets/` shows lines and draws
only the rows that changed; `screens/` are what the person sees; `keys` is the one table of keys.
"""
