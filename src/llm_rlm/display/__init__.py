"""How a run is shown to a person: the live line, cells and calls as they happen, and the last lines."""
