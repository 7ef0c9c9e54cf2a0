"""What a run will need before it starts: parameters, FLOPs, memory, communication, time. Imports no torch."""
