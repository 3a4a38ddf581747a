"""Any turn of any agent, on any model, with tool calls that really execute."""

__version__ = "0.1.0"
