"""Asks a server over HTTP what `conformance.probes` says, and has the answers judged there."""
