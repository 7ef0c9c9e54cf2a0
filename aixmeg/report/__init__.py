"""One self-contained HTML page about a run: no network, no script needed to read it, nothing heavy imported."""
