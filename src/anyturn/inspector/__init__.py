"""The inspector: a page that shows recorded turns, live ones among them (docs/inspector.md).

The folder of captures is its only source: what a turn does is read from the file that the recorder
is still writing. So nothing of it stands in a turn's way, and it shows the same with a gateway and
without one.
"""
