"""Sessions that are over: found, described, searched and read again as the events a client would have seen."""
