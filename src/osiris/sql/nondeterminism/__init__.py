"""What lets two runs of one query over the same data differ."""
