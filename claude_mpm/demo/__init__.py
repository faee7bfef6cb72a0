"""`claude-mpm --demo`: a stand-in for claude that plays a two-minute session and says that it is a stand-in."""
