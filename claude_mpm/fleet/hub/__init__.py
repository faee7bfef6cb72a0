"""The hub: every instance of every source, served as one."""
