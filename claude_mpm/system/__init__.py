"""The machine: processes, files, the state directory, the instances of this user."""
