"""The front's end of the channel to the monitor."""
