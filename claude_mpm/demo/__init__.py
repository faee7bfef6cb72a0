"""What `claude-mpm --demo` shows: a stand-in for claude that plays a two-minute session and says that it is one."""
