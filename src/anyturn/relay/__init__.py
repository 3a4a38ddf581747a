"""Stand between a client and a backend that work together, and record what they say."""
