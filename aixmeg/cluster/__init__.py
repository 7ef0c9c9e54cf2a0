"""Jobs on a cluster: submission, supervision, restarts, status. Runs on a login node: no torch here."""
