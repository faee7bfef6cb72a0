"""Another machine over ssh: the source of a hub, and the bridge at the far end."""
