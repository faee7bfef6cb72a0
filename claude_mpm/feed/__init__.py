"""Events in order: the vocabulary, the log every follower reads, the state they fold into."""
