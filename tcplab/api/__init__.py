"""The contract between the rooms: pure data, no behaviour beyond the transition table."""
