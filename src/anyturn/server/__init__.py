"""HTTP towards clients: routes, bodies, server-sent events, lifecycle."""
