"""What all components of one family share: where they lead, what their text means, how their errors read."""
