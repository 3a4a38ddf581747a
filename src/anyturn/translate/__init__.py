"""The translation, without I/O: a request in, a request out; chunks in, events out.

`responses_to_chat` turns the client's request into the provider's. `signals` reads a provider's
chunks, `chat_to_responses` turns what they say into events, `fold` turns events into one response.
"""
